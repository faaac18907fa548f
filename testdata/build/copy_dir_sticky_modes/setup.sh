mkdir -m 1777 s/t; chmod 2755 s; touch s/t/f
