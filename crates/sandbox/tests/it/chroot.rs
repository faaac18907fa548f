//! Root in a chroot: what is there, what is not, and that nothing of it stays.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::testbox::{TestBox, Who, is_root};

/// Without root nothing runs, and it is said why.
fn boxed(options: &[&str]) -> Option<TestBox> {
    let it = TestBox::new(Who::Chroot).with(options);
    if is_root() {
        return Some(it);
    }
    let refused = it.sh("true");
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("needs root with Docker's default capabilities"));
    None
}

#[test]
fn owners_are_real_and_devices_are_there_for_the_run_alone() {
    let Some(it) = boxed(&["--user", "1000:1001"]) else { return };
    let script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; test -c /dev/urandom; id -u; id -g
        echo mine > /tmp/mine; mkdir /dev/shm/x; grep -c processor /proc/cpuinfo > /dev/null && echo cpu
        grep -c localhost /etc/hosts > /dev/null || echo hosts; test ! -e /proc/self && echo alone";
    assert_eq!(it.print(script), "3\n1000\n1001\ncpu\nalone\n");
    let mine = fs::metadata(it.path("tree/tmp/mine")).unwrap();
    assert_eq!((mine.uid(), mine.gid()), (1000, 1001));
    assert_eq!(it.changes(), ["tmp", "tmp/mine"]);
    it.assert_clean();
}

#[test]
fn what_was_in_the_way_is_back_afterwards() {
    let Some(it) = boxed(&["--tmpfs", ":/tmp"]) else { return };
    fs::create_dir_all(it.path("base/dev")).unwrap();
    it.write("base/dev/own", "own");
    it.write("base/etc/hosts", "own");
    it.write("base/tmp/own", "own");
    assert_eq!(
        it.print("ls /dev/own /tmp/own 2> /dev/null; grep own /etc/hosts; echo > /tmp/a"),
        ""
    );
    assert_eq!(it.changes(), Vec::<String>::new());
    it.assert_clean();
}

#[test]
fn there_is_no_way_back_to_what_root_may() {
    let Some(it) = boxed(&[]) else { return };
    let script = "mkdir /a; for way in 'chroot /a true' 'mknod /disk b 8 0' 'mknod /mem c 1 1' \
            'mount -t tmpfs none /a' 'unshare -m true' 'hostname x' 'swapoff -a' 'chroot .'; do
                $way 2> /dev/null && echo \"could: $way\"
            done; rmdir /a; chown 5:6 /etc/passwd && echo chown";
    assert_eq!(it.print(script), "chown\n");
    let disks = fs::read_dir(it.path("tree")).unwrap().flatten();
    assert!(disks.map(|it| it.file_type().unwrap()).all(|it| !it.is_block_device()));
}

#[test]
fn mounts_are_refused_and_not_left_out() {
    let Some(it) = boxed(&["--secret", "swordfish:/run/key"]) else { return };
    let refused = it.sh("cat /run/key");
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("mount on /run/key, which the chroot sandbox cannot give"));
    it.assert_clean();
}
