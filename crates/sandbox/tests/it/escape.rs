//! Attempts to get out: to files, processes and networks that are not the run's.

use std::fs;
use std::os::unix::fs::symlink;

use crate::testbox::{EVERYBODY, TestBox, Who, whoever_can_be};

/// A file outside of the tree, which nobody in it may read or change.
fn with_outside(who: Who) -> (TestBox, String) {
    let it = TestBox::new(who);
    it.write("outside", "outside\n");
    let path = it.path("outside").to_str().unwrap().to_owned();
    (it, path)
}

#[test]
fn no_path_leads_out() {
    for who in whoever_can_be() {
        let (it, outside) = with_outside(who);
        symlink(&outside, it.path("base/absolute")).unwrap();
        symlink(format!("../../../../../..{outside}"), it.path("base/relative")).unwrap();
        symlink("/proc/self/root/..", it.path("base/magic")).unwrap();
        let script = format!(
            "for way in {outside} /absolute /relative /magic{outside} ../..{outside} /tmp/../..{outside} \
             /proc/self/root{outside} /proc/self/root/../..{outside} /proc/self/cwd/../..{outside} \
             /proc/1/root{outside} /proc/$PPID/root{outside} /dev/fd/../../..{outside}; do
                 cat $way > /dev/null && echo read $way
                 (echo changed > $way) && echo wrote $way
                 ln $way /stolen; cat /stolen > /dev/null && echo linked $way; rm -f /stolen
             done 2> /dev/null
             cd /proc/self/fd 2> /dev/null && for fd in *; do cat $fd{outside} && echo through $fd; done 2> /dev/null
             cd /; mkdir -p /a; ln -s / /a/up; cat /a/up/../..{outside} 2> /dev/null && echo up
             true"
        );
        let seen = it.print(&script);
        assert!(!seen.contains("read") && !seen.contains("through"), "{who:?}: {seen}");
        assert!(!seen.contains("linked") && !seen.contains("up"), "{who:?}: {seen}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "outside\n", "{who:?}: {seen}");
    }
}

#[test]
fn a_tree_that_changes_under_a_path_lets_nobody_out() {
    for who in whoever_can_be() {
        let (it, outside) = with_outside(who);
        // A name is a directory at one moment and a link out of the tree at the next.
        let script = format!(
            "mkdir -p /race/real/a; echo inside > /race/real/a/outside; cd /race
             (i=0; while [ $i -lt 150 ]; do ln -sfn real turn; ln -sfn ../../../../../../../.. turn
                 i=$((i+1)); done) &
             i=0; while [ $i -lt 150 ]; do cat turn/a/outside turn{outside} 2> /dev/null
                 i=$((i+1)); done | grep -c '^outside'; wait"
        );
        assert_eq!(it.sh(&script).stdout, "0\n", "{who:?}");
    }
}

#[test]
fn what_is_outside_cannot_be_signalled_or_looked_at() {
    for who in whoever_can_be() {
        let (it, _) = with_outside(who);
        let builder = std::process::id();
        let script = format!(
            "kill -0 {builder} && echo reached; kill -0 $PPID && echo reached
             cat /proc/{builder}/environ /proc/{builder}/cmdline && echo seen
             cat /proc/$PPID/environ && echo seen; ls /proc/{builder}/fd /proc/{builder}/root && echo seen
             kill -9 -1; echo alone"
        );
        let outcome = it.sh(&format!("({script}) 2> /dev/null"));
        let seen = outcome.stdout.replace("alone\n", "");
        // In a pid namespace the numbers may be others', all of them the run's own.
        let own = !matches!(who, Who::Emulated | Who::Chroot);
        assert!(own || seen.is_empty(), "{who:?}: {seen}");
    }
}

#[test]
fn secrets_and_variables_of_the_builder_are_not_there() {
    for who in EVERYBODY {
        let it = TestBox::new(who).with(&["--secret", "swordfish:/run/key"]);
        let mut command =
            it.command(&["sh", "-c", "env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'"]);
        let output = command.env("BUILDERS_OWN", "marlin").output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("marlin"), "{who:?}");
        it.print("cat /run/key");
        assert_eq!(it.changes().iter().filter(|it| it.contains("key")).count(), 0, "{who:?}");
    }
}

#[test]
fn devices_that_are_made_lead_nowhere() {
    let it = TestBox::new(Who::Emulated);
    let script = "mknod /disk b 8 0; mknod /mem c 1 1; stat -c '%F %t:%T' /disk /mem
        cat /disk || cat /mem || echo closed";
    let seen = it.sh(&format!("({script}) 2> /dev/null")).stdout;
    assert_eq!(seen, "block special file 8:0\ncharacter special file 1:1\nclosed\n");
}

#[test]
fn without_network_no_socket_reaches_anybody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for who in whoever_can_be() {
        let it = TestBox::new(who).with(&["--network-none"]);
        let script = format!("nc -w 1 127.0.0.1 {port} < /dev/null 2> /dev/null || echo none");
        assert_eq!(it.sh(&script).stdout, "none\n", "{who:?}");
    }
}
