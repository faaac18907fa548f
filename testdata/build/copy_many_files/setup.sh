i=0
while [ $i -lt 400 ]; do mkdir -p n/d$((i % 7)); echo $i >n/d$((i % 7))/f$i; i=$((i + 1)); done
