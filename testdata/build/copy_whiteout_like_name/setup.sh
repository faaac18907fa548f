echo y >n/wh.x
