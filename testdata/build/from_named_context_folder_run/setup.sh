mkdir ctx/dev ctx/proc ctx/sys ctx/etc
touch ctx/etc/hosts ctx/etc/resolv.conf
