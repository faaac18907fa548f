//! The program of a RUN: how it starts, why it did not, what it leaves running.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;

fn both() -> [Lab; 2] {
    [Lab::new(), Lab::ordinary()]
}

#[test]
fn a_program_that_does_not_start_says_why() {
    let cases: [(&str, &[&str]); 10] = [
        ("FROM base\nRUN [\"\"]\n", &["exec \"\": executable file not found in $PATH"]),
        (
            "FROM base\nWORKDIR /etc/passwd/x\nRUN true\n",
            &["`/etc/passwd` is not a directory", "Dockerfile:2:1"],
        ),
        ("FROM base\nRUN [\"/nope\", \"a\"]\n", &["exec \"/nope\": no such file or directory"]),
        (
            "FROM base\nRUN [\"nope\"]\n",
            &["exec \"nope\": executable file not found in $PATH", "PATH is /bin"],
        ),
        (
            "FROM base\nRUN [\"/etc/passwd\"]\n",
            &["\"/etc/passwd\": permission denied", "--chmod=755"],
        ),
        (
            "FROM base\nRUN printf '#!/bin/bash\\n' > /s && chmod 755 /s\nRUN [\"/s\"]\n",
            &["exec \"/s\": its interpreter `/bin/bash` is not in the image"],
        ),
        (
            "FROM base\nRUN printf '#!/bin/sh\\r\\n' > /s && chmod 755 /s\nRUN [\"/s\"]\n",
            &["its interpreter `/bin/sh\\r` is not in the image"],
        ),
        (
            "FROM base\nRUN echo text > /s && chmod 755 /s\nRUN [\"/s\"]\n",
            &["exec \"/s\": exec format error", "begins with #!"],
        ),
        (
            "FROM scratch\nCOPY Dockerfile /\nRUN echo hi\n",
            &["exec \"/bin/sh\"", "the image has no shell", "COPY --from", "Dockerfile:3:1"],
        ),
        (
            "FROM base\nRUN chmod 700 /bin/busybox && cp /bin/busybox /x && chmod 700 /x\n\
             USER app\nRUN [\"/x\"]\n",
            &["exec \"/x\": permission denied", "not for USER app"],
        ),
    ];
    for lab in both() {
        for (text, words) in cases {
            lab.write("context/Dockerfile", text);
            lab.build(&[]).failed_with(words);
        }
    }
}

#[test]
fn a_loader_that_is_missing_is_named() {
    let lab = Lab::new();
    std::fs::copy("/usr/bin/env", lab.path("context/env")).expect("coreutils are installed");
    lab.write("context/Dockerfile", "FROM base\nCOPY env /env\nRUN [\"/env\"]\n");
    lab.build(&[]).failed_with(&["exec \"/env\": its interpreter /lib", "is not in the image"]);
}

#[test]
fn exit_codes_and_signals_are_told() {
    for lab in both() {
        for (command, told) in [
            ("exit 126", "exit code: 126"),
            ("kill -9 $$", "exit code: 137 (signal: 9)"),
            ("nope", "exit code: 127"),
        ] {
            lab.write("context/Dockerfile", &format!("FROM base\nRUN {command}\n"));
            let ended = lab.build(&[]);
            assert_eq!(ended.code, Some(1));
            ended.failed_with(&[told, "did not complete successfully"]);
        }
    }
}

#[test]
fn what_is_left_running_ends_with_the_step() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\n\
             RUN (sleep 300; echo late) & echo early\n\
             RUN setsid sh -c 'trap \"\" TERM HUP; sleep 300; touch /late' > /dev/null 2>&1 & true\n\
             RUN (sh -c 'sh -c \"sleep 300 & sleep 300\" & sleep 300' &) ; echo grandchildren\n\
             RUN test ! -e /late && ps | grep -v grep | grep sleep || echo alone\n",
        );
        let ended = lab.build(&[]).ok();
        for word in [" early", " grandchildren", " alone"] {
            assert!(ended.stderr.contains(word), "no{word} in {}", ended.stderr);
        }
        assert!(!ended.stderr.lines().any(|it| it.ends_with(" late")));
    }
}

#[test]
fn input_is_empty_and_scripts_run_by_their_first_line() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nWORKDIR /w\nUSER app\nRUN cat; read x; echo \"read $?\"; umask\n\
             RUN <<EOF\n#!/bin/sh -e\necho \"by $0 in $PWD as $(id -u)\"\nEOF\n\
             RUN <<-ONE sh && echo two\n\techo one\n\tONE\n\
             RUN <<EOF\necho first\ncd /tmp\npwd\nEOF\n",
        );
        let ended = lab.build(&[]).ok();
        for word in [
            "read 1",
            " 0022",
            "by /dev/pipes/EOF in /w as 1001",
            " one",
            " two",
            " first",
            " /tmp",
        ] {
            assert!(ended.stderr.contains(word), "no {word} in {}", ended.stderr);
        }
    }
}

#[test]
fn users_and_their_groups() {
    let text = "FROM base\n\
        RUN echo 'homeless:x:12:13::' >> /etc/passwd && echo 'many:x:50:root,app' >> /etc/group\n\
        RUN echo 1 $(id -u):$(id -g):$(id -G) $HOME\n\
        USER app\nRUN echo 2 $(id -u):$(id -g):$(id -G) $HOME\n\
        USER app:extra\nRUN echo 3 $(id -u):$(id -g):$(id -G) $HOME\n\
        USER 1001\nRUN echo 4 $(id -u):$(id -g):$(id -G) $HOME\n\
        USER 4242\nRUN echo 5 $(id -u):$(id -g):$(id -G) $HOME\n\
        USER :many\nRUN echo 6 $(id -u):$(id -g):$(id -G) $HOME\n\
        USER homeless\nRUN echo 7 $(id -u):$(id -g):$(id -G) \"<$HOME>\"\n\
        USER root\nENV HOME=/there\nRUN echo 8 $HOME\nENV HOME=\nRUN echo 9 $HOME\n";
    for lab in both() {
        lab.write("context/Dockerfile", text);
        let ended = lab.build(&[]).ok();
        for line in [
            "1 0:0:0 50 /root",
            "2 1001:1002:1002 50 1003 /home/app",
            "3 1001:1003:1003 /home/app",
            "4 1001:1002:1002 50 1003 /home/app",
            "5 4242:0:0 /",
            "6 0:50:50 /root",
            "7 12:13:13 <>",
            "8 /there",
            "9 /root",
        ] {
            let found = ended.stderr.lines().any(|it| it.trim_end().ends_with(line));
            assert!(found, "no `{line}` in {}", ended.stderr);
        }
        lab.write("context/Dockerfile", "FROM base\nUSER nobody-here\nRUN true\n");
        lab.build(&[]).failed_with(&["unable to find user nobody-here"]);
    }
}

#[test]
fn a_working_directory_that_is_gone_is_made_again() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nWORKDIR /app/sub\nRUN cd / && rm -r /app\nUSER 5:6\nRUN pwd && touch f\n",
        );
        let (manifest, ended) = lab.image(&[]);
        assert!(ended.stderr.contains(" /app/sub"));
        let listing = lab.top_layer(&manifest);
        let lines: Vec<_> =
            listing.lines().map(|it| it.split_whitespace().collect::<Vec<_>>()).collect();
        let names: Vec<_> = lines.iter().map(|it| (it[1], it[5])).collect();
        assert_eq!(names, [("5/6", "app/"), ("5/6", "app/sub/"), ("5/6", "app/sub/f")]);
    }
}

#[test]
fn what_a_run_writes_below_a_volume_stays() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nVOLUME /data\nRUN mkdir /data && echo kept > /data/f && chown 5:6 /data\n\
             RUN cat /data/f && echo more >> /data/f\n",
        );
        let (manifest, ended) = lab.image(&[]);
        assert!(ended.stderr.contains(" kept"));
        assert_eq!(lab.top_layer(&manifest).lines().count(), 2);
    }
}
