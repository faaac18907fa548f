tar -cf d/t.tar d/x
