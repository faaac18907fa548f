setfattr -n user.note -v hello x/f
