//! What a program sees of the world, and what of it stays.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::testbox::{EVERYBODY, IN_NAMESPACES, TestBox, Who, is_root, names, whoever_can_be};

#[test]
fn a_program_gets_the_given_environment_and_nothing_else() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--env", "COLOUR=red"]);
        assert_eq!(it.exec(&["env"]).stdout, "PATH=/bin\nCOLOUR=red\n");
    }
}

#[test]
fn a_program_starts_in_the_working_directory() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--cwd", "/etc"]);
        assert_eq!(it.print("pwd; umask"), "/etc\n0022\n");
    }
}

#[test]
fn a_missing_working_directory_is_made_and_stays() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--cwd", "/link/deep/er", "--user", "7:8"]);
        symlink("tmp", it.path("base/link")).unwrap();
        assert_eq!(
            it.print("pwd; touch f; stat -c %u:%g . ../../deep"),
            "/tmp/deep/er\n7:8\n7:8\n"
        );
        assert_eq!(it.changes(), ["tmp", "tmp/deep", "tmp/deep/er", "tmp/deep/er/f"], "{who:?}");
        it.assert_clean();
    }
}

#[test]
fn a_working_directory_that_is_none_is_named() {
    let it = TestBox::new(Who::User).with(&["--cwd", "/etc/passwd/x"]);
    let outcome = it.sh("true");
    assert_eq!(outcome.code, Some(125));
    assert_eq!(
        outcome.stderr,
        "error: working directory /etc/passwd/x: Not a directory (os error 20)\n"
    );
    it.assert_clean();
}

#[test]
fn the_user_is_who_was_asked_for() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--user", "1000:1000:4:24"]);
        assert_eq!(it.print("id"), "uid=1000(app) gid=1000(app) groups=4,24\n", "{who:?}");
        let it = TestBox::new(who);
        assert_eq!(it.print("id -u; id -g"), "0\n0\n", "{who:?}");
    }
}

#[test]
fn a_run_leaves_nothing_but_its_changes() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        it.print(
            "cat /etc/hosts /etc/resolv.conf > /dev/null; ls /proc/self /sys /dev > /dev/null",
        );
        assert_eq!(it.changes(), Vec::<String>::new(), "{who:?}");
        it.assert_clean();
        it.print("echo > /new; rm /etc/group");
        assert_eq!(it.changes(), ["etc", "etc/group", "new"], "{who:?}");
        it.assert_clean();
    }
}

#[test]
fn places_for_mounts_below_symlinks_are_made_and_removed_again() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--tmpfs", ":/var/cache/deep/er"]);
        symlink("../run/net/resolv.conf", it.path("base/etc/resolv.conf")).unwrap();
        symlink("tmp", it.path("base/var")).unwrap();
        let read = it.print("test -s /etc/resolv.conf && touch /var/cache/deep/er/x && echo yes");
        assert_eq!(read, "yes\n");
        assert_eq!(
            it.changes().iter().filter(|name| !matches!(name.as_str(), "run" | "tmp")).count(),
            0,
            "{:?}",
            it.changes()
        );
        it.assert_clean();
    }
}

#[test]
fn a_plain_tree_keeps_its_times_and_gets_no_stubs() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let plain = it.path("base");
        let it = it.with(&["--plain", plain.to_str().unwrap()]);
        let (before, etc) = (names(&plain), fs::metadata(plain.join("etc")).unwrap());
        let root = fs::metadata(&plain).unwrap();
        assert_eq!(it.print("cat /etc/hosts"), "127.0.0.1\tlocalhost buildkitsandbox\n");
        assert_eq!(names(&plain), before);
        let now = |name| fs::metadata(plain.join(name)).unwrap();
        assert_eq!((now("etc").mtime(), now("etc").mtime_nsec()), (etc.mtime(), etc.mtime_nsec()));
        assert_eq!((now("").mtime(), now("").mtime_nsec()), (root.mtime(), root.mtime_nsec()));
        it.print("echo x > /kept");
        assert_eq!(fs::read_to_string(plain.join("kept")).unwrap(), "x\n");
    }
}

#[test]
fn without_network_there_is_a_loopback_interface_only() {
    for who in IN_NAMESPACES {
        let it = TestBox::new(who).with(&["--network-none"]);
        assert_eq!(
            it.print("ls /sys/class/net; ping -c1 -W1 127.0.0.1 > /dev/null && echo up"),
            "lo\nup\n"
        );
    }
}

#[test]
fn usual_devices_and_file_systems_are_there() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let script = "echo x > /dev/null; head -c2 /dev/zero | wc -c; head -c3 /dev/urandom | wc -c
            test -c /dev/full -a -c /dev/tty -a -e /dev/ptmx -a -d /dev/shm && echo devices
            echo y > /dev/shm/y; echo out > /dev/stdout; cat < /dev/stdin; test $$ -eq 2 || echo pid
            test -d /sys/class && ls /proc/self/fd > /dev/null && echo systems
            echo z > /proc/sys/kernel/hostname || mkdir /sys/x || echo read-only";
        let outcome = it.sh(script);
        // Only a namespace gives out numbers of its own.
        let pid = if who == Who::Emulated { "pid\n" } else { "" };
        let expected = format!("2\n3\ndevices\nout\n{pid}systems\nread-only\n");
        assert_eq!(outcome.stdout, expected, "{outcome:?}");
        assert_eq!(it.changes(), Vec::<String>::new());
    }
}

#[test]
fn a_user_can_open_its_standard_output_and_its_own_process_files() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--user", "1000:1000"]);
        let script = "echo out > /dev/stdout; echo err > /dev/stderr; test -w /dev/stdout && echo w
            echo 500 > /proc/self/oom_score_adj && cat /proc/self/oom_score_adj
            cat /proc/self/environ > /dev/null && echo r";
        let outcome = it.sh(script);
        assert_eq!(outcome.stdout, "out\nw\n500\nr\n", "{who:?} {outcome:?}");
        assert_eq!(outcome.stderr, "err\n", "{who:?}");
    }
}

#[test]
fn mounts_show_what_they_should_and_stop_what_they_should() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        for name in ["ro", "rw", "scrap"] {
            fs::create_dir(it.path(name)).unwrap();
            it.write(&format!("{name}/file"), name);
        }
        let mount = |name: &str| format!("{}:/mnt/{name}", it.path(name).display());
        let (ro, rw, scrap) = (mount("ro"), mount("rw"), mount("scrap"));
        let it = it.with(&["--bind-ro", &ro, "--bind", &rw, "--discard", &scrap]);
        let it = it.with(&["--tmpfs", ":/mnt/tmp", "--secret", "swordfish:/run/secrets/key"]);
        let script = "cat /mnt/ro/file /mnt/rw/file /mnt/scrap/file /run/secrets/key; echo
            touch /mnt/ro/no 2> /dev/null || echo refused
            echo 1 > /mnt/rw/new; echo 2 > /mnt/scrap/new; rm /mnt/scrap/file; ls /mnt/scrap
            touch /mnt/tmp/t; stat -c %a /run/secrets/key /mnt/tmp";
        assert_eq!(it.print(script), "rorwscrapswordfish\nrefused\nnew\n400\n1777\n");
        assert_eq!(names(&it.path("rw")), ["file", "new"]);
        assert_eq!(names(&it.path("scrap")), ["file"]);
        assert_eq!(it.changes(), Vec::<String>::new());
        it.assert_clean();
    }
}

#[test]
fn what_reaches_the_host_is_refused() {
    for who in IN_NAMESPACES {
        let it = TestBox::new(who);
        let script = "mount -t tmpfs x /tmp || umount /proc || hostname other || swapoff /x ||
            unshare -m true || unshare -U true || echo nothing";
        assert_eq!(it.sh(script).stdout, "nothing\n");
        let status = it.print("grep -E 'CapBnd|Seccomp:|NoNewPrivs' /proc/self/status");
        assert_eq!(status, "CapBnd:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n");
    }
}

#[test]
fn the_privilege_is_what_can_be_had() {
    let it = TestBox::new(Who::User).with(&["--privilege"]);
    assert_eq!(it.exec(&[]).stdout, "SingleId\n");
    let it = TestBox::new(Who::Emulated).with(&["--privilege"]);
    assert_eq!(it.exec(&[]).stdout, "Emulated\n");
    let it = TestBox::new(Who::Root).with(&["--privilege"]);
    assert_eq!(it.exec(&[]).stdout, if is_root() { "Root\n" } else { "SingleId\n" });
}

#[test]
fn an_insecure_run_has_what_the_builder_has() {
    for who in IN_NAMESPACES {
        let it = TestBox::new(who).with(&["--insecure"]);
        let script = "mount -t tmpfs none /tmp && umount /tmp && hostname other && hostname
            unshare -m true && grep -q CPU /proc/interrupts && echo unhidden";
        let outcome = it.sh(script);
        assert!(outcome.stdout.starts_with("other\n"), "{who:?} {outcome:?}");
        assert!(outcome.stdout.ends_with("unhidden\n"), "{who:?} {outcome:?}");
        it.assert_clean();
    }
}

#[test]
fn an_insecure_user_keeps_the_capabilities() {
    let it = TestBox::new(Who::Root).with(&["--insecure", "--user", "1000:1000"]);
    let caps = it.print("grep CapEff /proc/self/status; id -u");
    assert!(caps.ends_with("ffff\n1000\n"), "{caps}");
}

#[test]
fn limits_are_set() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--ulimit", "nofile=100:200", "--ulimit", "core=0:0"]);
        assert_eq!(it.print("ulimit -Sn; ulimit -Hn; ulimit -c"), "100\n200\n0\n", "{who:?}");
    }
    let it = TestBox::new(Who::User).with(&["--ulimit", "nofile=100:999999999999"]);
    let outcome = it.sh("true");
    assert!(outcome.stderr.contains("ulimit nofile: Operation not permitted"), "{outcome:?}");
    let it = TestBox::new(Who::User).with(&["--ulimit", "fantasy=1:1"]);
    assert!(it.sh("true").stderr.contains("ulimit fantasy"), "{outcome:?}");
}

#[test]
fn mounts_lie_in_mounts() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        fs::create_dir(it.path("rw")).unwrap();
        it.write("one", "1\n");
        let rw = format!("{}:/m", it.path("rw").display());
        let file = format!("{}:/m/deep/file", it.path("one").display());
        let it = it.with(&["--bind", &rw, "--bind-ro", &file, "--tmpfs", ":/m/t"]);
        let it = it.with(&["--tmpfs", ":/m/t/er", "--secret", "x:/m/t/er/secret"]);
        assert_eq!(it.print("cat /m/deep/file /m/t/er/secret; echo; ls /m"), "1\nx\ndeep\nt\n");
        assert_eq!(it.changes(), Vec::<String>::new());
        it.assert_clean();
    }
}

#[test]
fn a_directory_that_becomes_something_else_is_that() {
    for who in whoever_can_be() {
        let outcome = TestBox::new(who).sh(
            "mkdir -p /d/e/f /t/g; readlink /d; readlink /d/e; readlink /d/e/f
             mv /d/e /d/moved; readlink /d/e || echo gone; ln -s /t /d/e; readlink /d/e; ls /d/e
             mkdir /x; readlink /x; rmdir /x; ln -s /t /x; readlink /x
             mkdir /y; readlink /y; rm -r /y; echo file > /y; readlink /y || cat /y
             mkdir /d/moved/new; readlink /d/moved/new; mv /t /d/moved/; readlink /d/moved/t; ls /d/moved/t",
        );
        assert_eq!(outcome.stdout, "gone\n/t\ng\n/t\nfile\ng\n", "{who:?} {}", outcome.stderr);
    }
}

#[test]
fn callers_at_once_do_not_disturb_each_other() {
    // Each makes, renames, gives away and looks at files of its own, and of all others.
    let script = r#"
        work() {
            n=$1; i=0
            umask 0${n}; mkdir -p /w/$n; cd /w/$n
            while [ $i -lt 40 ]; do
                mkdir d; echo $n > d/f; chown $n:$n d/f; ln -s d l; mv d e; readlink l > /dev/null
                [ "$(stat -c %u:%g e/f)" = $n:$n ] || echo "$n: owner $(stat -c %u:%g e/f)"
                [ "$(readlink -f e/../e)" = /w/$n/e ] || echo "$n: path $(readlink -f e)"
                [ "$(stat -c %a e)" = 7$((7 - n / 10))7 ] || echo "$n: mode $(stat -c %a e)"
                [ "$(pwd)" = /w/$n ] || echo "$n: directory $(pwd)"
                chown -h $n:$n l; [ "$(stat -c %u l)" = $n ] || echo "$n: link $(stat -c %u l)"
                ls /w/*/ > /dev/null 2>&1; rm -r e l; i=$((i + 1))
            done
            echo done
        }
        for n in 1 2 3 4; do work ${n}0 & done; wait"#;
    for who in whoever_can_be() {
        let outcome = TestBox::new(who).sh(script);
        assert_eq!(outcome.stdout, "done\n".repeat(4), "{who:?} {}", outcome.stderr);
    }
}
