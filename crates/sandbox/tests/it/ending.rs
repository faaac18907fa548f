//! How runs end, and that nothing outlives them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::testbox::{EVERYBODY, TestBox, Who, is_root, whoever_can_be};

#[test]
fn exit_codes_and_signals_are_reported() {
    for who in whoever_can_be() {
        let it = TestBox::new(who);
        assert_eq!(it.sh("exit 42").code, Some(42));
        assert_eq!(it.sh("kill -TERM $$").code, Some(128 + 15));
        let outcome = it.sh("echo one; echo two >&2");
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("one\n", "two\n"));
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    for who in whoever_can_be() {
        let it = TestBox::new(who);
        let outcome = it.exec(&["no-such-program"]);
        assert_eq!(outcome.code, Some(125));
        assert_eq!(
            outcome.stderr,
            "error: exec no-such-program: No such file or directory (os error 2)\n"
        );
        let outcome = it.exec(&["/etc/passwd"]);
        assert_eq!(outcome.stderr, "error: exec /etc/passwd: Permission denied (os error 13)\n");
        it.assert_clean();
    }
}

#[test]
fn a_run_ends_with_its_program_whatever_it_left_behind() {
    for who in whoever_can_be() {
        let it = TestBox::new(who);
        // The sleepers hold the output open; were they let live, this would not return.
        it.print("sleep 9876501 & setsid sleep 9876501 & (sleep 9876501 &) ; echo");
        assert_eq!(running("9876501"), 0);
        it.assert_clean();
    }
}

#[test]
fn orphans_are_reaped() {
    for who in EVERYBODY {
        let it = TestBox::new(who);
        let script = "for i in 1 2 3; do (true &) ; done
            for i in 1 2 3 4 5 6 7 8 9; do
                grep -q '^State:.Z' /proc/[0-9]*/status || { echo none; break; }; sleep 1
            done 2> /dev/null";
        assert_eq!(it.print(script), "none\n");
    }
}

#[test]
fn a_killed_builder_takes_everything_with_it() {
    let marks = [
        (Who::Root, "9876502"),
        (Who::Ahead, "9876508"),
        (Who::User, "9876503"),
        (Who::Emulated, "9876507"),
    ];
    for (who, mark) in marks.into_iter().chain(is_root().then_some((Who::Chroot, "9876506"))) {
        let it = TestBox::new(who);
        let script = format!("sleep {mark} & echo > /half; echo started; sleep {mark}");
        let mut builder =
            it.command(&["sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(builder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        builder.kill().unwrap();
        builder.wait().unwrap();
        let left = || it.path("scratch").read_dir().unwrap().count();
        let gone = (0..1000).any(|_| {
            sleep(Duration::from_millis(10));
            running(mark) == 0 && left() == 0
        });
        assert!(gone, "{who:?}: {} processes, {} files are left", running(mark), left());
        it.assert_clean();
    }
}

#[test]
fn a_cancelled_run_takes_everything_with_it() {
    for (who, mark) in [(Who::Root, "9876504"), (Who::Ahead, "9876509"), (Who::User, "9876505")] {
        let it = TestBox::new(who).with(&["--cancel-on-output"]);
        let outcome = it.sh(&format!("sleep {mark} & echo started; sleep {mark}"));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(125), "error: cancelled\n"));
        assert_eq!(running(mark), 0);
        it.assert_clean();
    }
}

/// How many processes have an argument like this.
fn running(argument: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|one| one == argument.as_bytes()))
        .count()
}
