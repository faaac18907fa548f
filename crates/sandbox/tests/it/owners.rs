//! Users and owners where one id is mapped: programs see what root would see, and it is recorded.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::testbox::{EVERYBODY, TestBox, Who};

const OWNER: &str = strake_sandbox::OWNER_ATTRIBUTE;
const NODE: &str = strake_sandbox::NODE_ATTRIBUTE;

#[test]
fn chown_is_seen_and_recorded() {
    let it = TestBox::new(Who::User);
    let seen = it.print(
        "touch /f; chown 5:6 /f; mkdir /d; chown 7 /d; chgrp 8 /d; chown 9:9 /etc/group
        stat -c '%n %u:%g' /f /d /etc/group; chown 1:1 /d/ && chown 0:0 /d && stat -c %u:%g /d",
    );
    assert_eq!(seen, "/f 5:6\n/d 7:8\n/etc/group 9:9\n0:0\n");
    assert_eq!(it.mark("f", OWNER).as_deref(), Some("5:6"));
    assert_eq!(it.mark("etc/group", OWNER).as_deref(), Some("9:9"));
    assert_eq!(it.mark("d", OWNER), None);
}

#[test]
fn an_owner_follows_its_file_and_ends_with_it() {
    let it = TestBox::new(Who::User);
    let seen = it.print(
        "touch /f; chown 5:6 /f; mv /f /tmp/g; ln /tmp/g /tmp/h; stat -c %u:%g /tmp/h
        rm /tmp/g /tmp/h; touch /tmp/g; stat -c %u:%g /tmp/g; touch -h /tmp/g
        touch /a; chown 3:4 /a; cp -a /a /b; cp /a /c; stat -c %u:%g /b /c",
    );
    assert_eq!(seen, "5:6\n0:0\n3:4\n0:0\n");
    assert_eq!(it.mark("tmp/g", OWNER), None);
}

#[test]
fn owners_of_symlinks_and_fifos_are_returned() {
    let it = TestBox::new(Who::User);
    let printed = it.print(
        "mkdir /d; ln -s nowhere /d/link; chown -h 5:6 /d/link; mkfifo /fifo; chown 7:8 /fifo
        ln -s gone /gone; chown -h 1:1 /gone; rm /gone; ln -s kept /kept
        stat -c %u:%g /d/link; mv /d /moved; stat -c %u:%g /moved/link",
    );
    assert_eq!(printed, "5:6\n5:6\nowner /fifo 7:8\nowner /moved/link 5:6\n");
}

#[test]
fn what_a_user_makes_is_the_users() {
    let it = TestBox::new(Who::User).with(&["--user", "1000:1001"]);
    let seen = it.print(
        "cd /tmp; mkdir d; echo x > d/f; ln -s f d/l; umask 077; mkdir e; (echo > e/g); mkfifo p
        stat -c '%n %u:%g %a' d d/f d/l e e/g p; cat d/f; echo y > d/f; cat d/f",
    );
    assert_eq!(
        seen,
        "d 1000:1001 755\nd/f 1000:1001 644\nd/l 1000:1001 777\ne 1000:1001 700\n\
         e/g 1000:1001 600\np 1000:1001 600\nx\ny\n\
         owner /tmp/d/l 1000:1001\nowner /tmp/p 1000:1001\n"
    );
    assert_eq!(it.mark("tmp/d/f", OWNER).as_deref(), Some("1000:1001"));
    assert_eq!(it.mark("tmp", OWNER), None);
}

#[test]
fn what_a_user_may_not_do_fails_as_it_does_everywhere() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--user", "1000:1000:50"]);
        let script = "touch /f || mkdir /d || ln -s x /l || echo > /etc/passwd || echo no
            touch /tmp/f; chown 0 /tmp/f || chgrp 51 /tmp/f || echo neither
            chgrp 50 /tmp/f && stat -c %u:%g /tmp/f
            mknod /tmp/n c 1 3 || chroot / su root -c true || echo nor";
        assert_eq!(it.sh(script).stdout, "no\nneither\n1000:50\nnor\n", "{who:?}");
    }
}

#[test]
fn a_user_cannot_touch_what_is_roots() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--user", "1000:1000"]);
        it.write("base/tmp/roots", "x");
        it.write("base/etc/secret", "x");
        let script = "rm /etc/passwd || mv /etc/passwd /tmp || rmdir /tmp || echo kept
            rm -f /tmp/roots || mv /tmp/roots /tmp/x || chmod 777 /etc/passwd || echo sticky
            test -w /etc || test -w /etc/passwd || test ! -r /etc/passwd || echo said
            ln /etc/passwd /etc/link || dd if=/dev/zero of=/etc/passwd conv=notrunc || echo fast
            touch /tmp/own; chmod 600 /tmp/own; mv /tmp/own /tmp/o; test -w /tmp/o; rm /tmp/o && echo free";
        assert_eq!(it.sh(script).stdout, "kept\nsticky\nsaid\nfast\nfree\n", "{who:?}");
        // An overlay shows a directory in which something was, a copy of the tree does not.
        let touched: &[&str] = if who == Who::Emulated { &[] } else { &["tmp"] };
        assert_eq!(it.changes(), touched);
    }
}

#[test]
fn ids_are_given_up_and_inherited() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let script = "su app -c 'id -u; (id -u; touch /tmp/f); id -g'; id -u
            stat -c %u:%g /tmp/f
            su app -c '(sleep 1; id -u) & true; wait'; su app -c 'su app -c id 2>&1 | head -c 3'";
        assert_eq!(it.print(script), "1000\n1000\n1000\n0\n1000:1000\n1000\nsu:", "{who:?}");
    }
}

#[test]
fn setuid_programs_change_the_user() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--user", "1000:1000"]);
        let program = it.path("base/suid/busybox");
        std::fs::create_dir(program.parent().unwrap()).unwrap();
        std::fs::copy("/bin/busybox", &program).unwrap();
        // Giving a file away clears its bits: the owner comes first.
        it.give_away();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(it.print("/suid/busybox su root -c 'id -u'; id -u"), "0\n1000\n", "{who:?}");
    }
}

#[test]
fn chown_clears_setuid_bits() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let script =
            "touch /f; chmod 6755 /f; chown 5 /f; stat -c %a /f; chmod 6755 /f; stat -c %a:%u /f";
        assert_eq!(it.print(script), "755\n6755:5\n", "{who:?}");
    }
}

#[test]
fn new_files_take_the_group_of_a_setgid_directory() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let script = "mkdir /d; chown 0:50 /d; chmod 2775 /d; touch /d/f; mkdir /d/s
            stat -c '%u:%g %a' /d/f /d/s";
        assert_eq!(it.print(script), "0:50 644\n0:50 2755\n", "{who:?}");
    }
}

#[test]
fn devices_are_placeholders_that_look_like_devices() {
    let it = TestBox::new(Who::User);
    let script = "mknod -m 620 /n c 1 3; mknod /b b 8 1; chown 0:5 /n; mv /n /m
        stat -c '%F %t:%T %a %u:%g' /m /b; test -c /m && test -b /b && echo devices";
    assert_eq!(
        it.print(script),
        "character special file 1:3 620 0:5\nblock special file 8:1 644 0:0\ndevices\n"
    );
    assert_eq!(it.mark("m", NODE).as_deref(), Some("c:1:3"));
    assert_eq!(it.mark("m", OWNER).as_deref(), Some("0:5"));
    assert!(std::fs::metadata(it.path("upper/b")).unwrap().is_file());
}

#[test]
fn a_change_of_root_sees_the_same_owners() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let script = "mkdir -p /jail/bin /jail/d; cp /bin/busybox /jail/bin; chown 5:6 /jail/d
            ln -s /d /jail/link
            chroot /jail /bin/busybox sh -c 'busybox() { /bin/busybox \"$@\"; }
                busybox chown 7:8 /link; busybox stat -c %u:%g /d; cd /bin
                busybox touch ../d/f; busybox chown 9:9 ../../d/f'
            stat -c %u:%g /jail/d /jail/d/f";
        assert_eq!(it.print(script), "7:8\n7:8\n9:9\n", "{who:?}");
    }
}

#[test]
fn owners_in_lower_layers_are_seen() {
    let it = TestBox::new(Who::User);
    let base = it.path("base/etc/passwd");
    rustix::fs::setxattr(&base, OWNER, b"33:44", rustix::fs::XattrFlags::empty()).unwrap();
    assert_eq!(it.print("stat -c %u:%g /etc/passwd; chmod 600 /etc/passwd"), "33:44\n");
    assert_eq!(it.mark("etc/passwd", OWNER).as_deref(), Some("33:44"));
    assert_eq!(std::fs::metadata(&base).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn descriptors_for_a_path_alone_mean_their_file() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        // tar changes modes by such a descriptor.
        let script = "mkdir -p /a/b; mkfifo /a/p; ln -s p /a/l; chown 7:8 /a/p; chmod 2775 /a
            tar -cf /t.tar a; mkdir /c; tar -C /c -xpf /t.tar; stat -c '%n %a %u:%g' /c/a /c/a/*";
        let seen = it.print(script);
        let seen: String = seen.lines().take(4).map(|it| format!("{it}\n")).collect();
        let expected = "/c/a 2775 0:0\n/c/a/b 755 0:0\n/c/a/l 777 0:0\n/c/a/p 644 7:8\n";
        assert_eq!(seen, expected, "{who:?}");
    }
}

#[test]
fn capabilities_can_be_set_again() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        assert_eq!(it.print("setpriv --nnp id -u"), "0\n", "{who:?}");
    }
}

/// What /usr has is needed for Python.
const USR: [&str; 6] =
    ["--bind-ro", "/usr:/usr", "--bind-ro", "/lib:/lib", "--bind-ro", "/lib64:/lib64"];

#[test]
fn whoever_connects_is_known_and_a_socket_is_its_makers() {
    let program = r#"
import os, socket, struct
def peer(socket_): return struct.unpack('3i', socket_.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
listener = socket.socket(socket.AF_UNIX); listener.bind('/tmp/l'); os.chmod('/tmp/l', 0o777); listener.listen()
child = os.fork()
if child == 0:
    os.setgid(1001); os.setuid(1000)
    client = socket.socket(socket.AF_UNIX); client.connect('/tmp/l'); client.recv(1)
    own = socket.socket(socket.AF_UNIX); own.bind('/tmp/b'); os.chmod('/tmp/b', 0o640)
    it = os.stat('/tmp/b'); print(it.st_uid, it.st_gid, oct(it.st_mode), flush=True)
    try: socket.socket(socket.AF_UNIX).bind('/tmp/b')
    except OSError as error: print(error.strerror, flush=True)
    try: socket.socket(socket.AF_UNIX).bind('/etc/b')
    except OSError as error: print(error.strerror, flush=True)
    os._exit(0)
server, _ = listener.accept(); found = peer(server); print(found[0] == child, found[1:], flush=True)
server.send(b'x')
one, two = socket.socketpair(); found = peer(one); print(found[0] == os.getpid(), found[1:], flush=True)
os.wait()
"#;
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&USR);
        let seen = it.print(&format!("/usr/bin/python3 -c \"{program}\"; rm /tmp/l /tmp/b"));
        let mut lines: Vec<&str> = seen.lines().collect();
        lines.sort_unstable();
        let wanted = [
            "1000 1001 0o140640",
            "Address already in use",
            "Permission denied",
            "True (0, 0)",
            "True (1000, 1001)",
        ];
        assert_eq!(lines, wanted, "{who:?}");
    }
}

#[test]
fn usual_devices_that_are_made_work_without_namespaces() {
    let it = TestBox::new(Who::Emulated);
    let script = "mknod /n c 1 3; mknod /z c 1 5; mknod /k c 1 2; echo lost > /n; cat /n
        head -c 3 /z | od -An -tx1; cat /k 2>&1; stat -c %F /n";
    let wanted =
        " 00 00 00\ncat: can't open '/k': Operation not permitted\ncharacter special file\n";
    assert_eq!(it.print(script), wanted);
}
