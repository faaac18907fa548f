//! RUN: what a process sees, what it leaves, and who owns it.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;

#[test]
fn user_workdir_and_environment() {
    for lab in [Lab::new(), Lab::ordinary()] {
        lab.write(
            "context/Dockerfile",
            "FROM base\nENV GREETING=hi\nARG WHO=you\nWORKDIR /srv/deep\nUSER app\n\
             RUN echo \"$(id -u):$(id -g):$(id -G) $HOME $PWD $GREETING $WHO\"\n\
             USER 5:6\nRUN echo \"$(id -u):$(id -g):$(id -G) $HOME\"\n",
        );
        let ended = lab.build(&[]).ok();
        assert!(
            ended.stderr.contains("1001:1002:1002 1003 /home/app /srv/deep hi you"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("5:6:6 /"), "{}", ended.stderr);
    }
}

#[test]
fn owners_are_right_with_one_id() {
    let text = "FROM base\nRUN mkdir -p /a/b && echo x > /a/b/f && ln -s f /a/b/l \
                && chown -R app:app /a && chown 7:8 /a/b/f && chmod 4755 /a/b/f\n";
    let mut listings = Vec::new();
    for lab in [Lab::new(), Lab::ordinary()] {
        lab.write("context/Dockerfile", text);
        let (manifest, _) = lab.image(&[]);
        let listing = lab.top_layer(&manifest);
        // Without date and time.
        let fields = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[1], words[5..].join(" "))
        };
        listings.push(listing.lines().map(fields).collect::<Vec<_>>());
    }
    assert_eq!(
        listings[0],
        [
            "drwxr-xr-x 1001/1002 a/",
            "drwxr-xr-x 1001/1002 a/b/",
            "-rwsr-xr-x 7/8 a/b/f",
            "lrwxrwxrwx 1001/1002 a/b/l -> f",
        ]
    );
    assert_eq!(listings[0], listings[1]);
}

#[test]
fn mounts_leave_no_trace() {
    for lab in [Lab::new(), Lab::ordinary()] {
        lab.write("context/data/file", "bound\n");
        lab.write("context/token", "s3cret");
        lab.write(
            "context/Dockerfile",
            "FROM base AS other\nRUN echo other > /o\nFROM base\n\
             RUN --mount=type=bind,source=data,target=/mnt/data \
                 --mount=type=bind,from=other,source=/o,target=/mnt/o \
                 --mount=type=tmpfs,target=/scratch \
                 --mount=type=secret,id=token,required=true \
                 --mount=type=secret,id=token,env=TOKEN \
                 --mount=type=cache,target=/cache \
                 cat /mnt/data/file /mnt/o /run/secrets/token && test \"$TOKEN\" = s3cret \
                 && echo x > /scratch/x && echo y >> /cache/y && echo kept > /kept\n",
        );
        let secret = format!("id=token,src={}", lab.path("context/token").display());
        let (manifest, ended) = lab.image(&["--secret", &secret]);
        assert!(ended.stderr.contains("bound") && ended.stderr.contains("other"));
        let listing = lab.top_layer(&manifest);
        assert_eq!(listing.lines().count(), 1, "{listing}");
        assert!(listing.contains(" kept"), "{listing}");
    }
}

#[test]
fn no_network_has_only_loopback() {
    for lab in [Lab::new(), Lab::ordinary()] {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --network=none ls /sys/class/net /proc/net/dev; cat /proc/net/dev | wc -l\n",
        );
        let ended = lab.build(&[]).ok();
        assert!(ended.stderr.lines().any(|it| it.trim_end().ends_with(" 3")), "{}", ended.stderr);
    }
}

#[test]
fn a_failing_run_is_shown_with_its_place() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM base\n\nRUN echo before; \\\n    exit 7\n");
    let ended = lab.build(&["-t", "x:1"]);
    assert_eq!(ended.code, Some(1));
    ended.failed_with(&["exit code: 7", "Dockerfile:3:1", "before"]);
}

#[test]
fn steps_that_change_nothing_can_follow_each_other() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let text = "FROM base\nRUN true\nRUN : ; true\nRUN echo third\nRUN rm /bin/vi && touch /a\n\
                    RUN true || true\nRUN test -e /a && test ! -e /bin/vi && echo still there\n";
        lab.write("context/Dockerfile", text);
        let ended = lab.build(&[]).ok();
        assert!(ended.stderr.lines().any(|it| it.ends_with(" still there")), "{}", ended.stderr);
    }
}
