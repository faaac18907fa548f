tar -cf t.tar x
