truncate -s 3M big
printf end >>big
