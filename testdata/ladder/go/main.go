package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
)

func one() error {
	told, err := exec.Command("/bin/echo", "x").Output()
	if err != nil || string(told) != "x\n" {
		return fmt.Errorf("echo: %q %v", told, err)
	}
	file, err := os.CreateTemp("/tmp", "g")
	if err != nil {
		return err
	}
	file.Close()
	return os.Remove(file.Name())
}

func main() {
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := one(); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}()
	}
	all.Wait()
	path, err := os.Executable()
	if err != nil || path != "/srv/go/prog" {
		fmt.Println(path, err)
		os.Exit(1)
	}
}
