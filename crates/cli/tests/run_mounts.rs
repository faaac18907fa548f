//! `RUN --mount` in all its forms: what is seen, what stays, who may use it, as root and with one id.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;
use std::process::{Child, Stdio};

/// The lines that the steps of a build have printed, without step numbers and times.
fn output(stderr: &str) -> Vec<&str> {
    stderr
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix('#')?.splitn(3, ' ');
            let (_step, time, text) = (words.next()?, words.next()?, words.next()?);
            time.parse::<f64>().ok().map(|_| text.trim_end())
        })
        .collect()
}

fn both() -> [Lab; 2] {
    [Lab::new(), Lab::ordinary()]
}

#[test]
fn a_mount_can_lie_in_another_however_they_are_written() {
    for lab in both() {
        lab.write("context/file", "from the context\n");
        lab.write(
            "context/Dockerfile",
            "FROM base\nWORKDIR /w\n\
             RUN --mount=type=bind,source=file,target=/a/b/c/f --mount=type=tmpfs,target=/a/b/c \
                 --mount=type=cache,target=/a --mount=type=tmpfs,target=rel/t \
                 --mount=type=bind,target=/a/b/ctx \
                 cat /a/b/c/f /a/b/ctx/file && test -d /w/rel/t && touch /a/b/kept\n\
             RUN --mount=type=cache,target=/a ls /a/b && test ! -e /w/rel\n",
        );
        let (manifest, ended) = lab.image(&[]);
        assert_eq!(output(&ended.stderr)[..2], ["from the context", "from the context"]);
        assert!(output(&ended.stderr).contains(&"kept"), "{}", ended.stderr);
        assert_eq!(lab.top_layer(&manifest), "");
    }
}

#[test]
fn places_that_were_written_to_stay_and_others_go() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\n\
             RUN --mount=type=tmpfs,target=/new/deep/t --mount=type=tmpfs,target=/kept/t \
                 --mount=type=tmpfs,target=/etc/t touch /kept/x && rm /etc/passwd\n",
        );
        let (manifest, _) = lab.image(&[]);
        let listing = lab.top_layer(&manifest);
        let names: Vec<&str> =
            listing.lines().filter_map(|it| it.split_whitespace().last()).collect();
        assert_eq!(names, ["etc/", "etc/.wh.passwd", "kept/", "kept/x"], "{listing}");
    }
}

#[test]
fn bind_sources_are_names_and_not_patterns() {
    for lab in both() {
        lab.write("context/pages/[id].js", "literal\n");
        lab.write("context/pages/i.js", "matched\n");
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --mount=type=bind,source=pages/[id].js,target=/x.js cat /x.js\n",
        );
        let ended = lab.build(&[]).ok();
        assert_eq!(output(&ended.stderr), ["literal"]);
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --mount=type=bind,source=missing,target=/x ls /x\n",
        );
        lab.build(&[]).failed_with(&["missing", "Dockerfile:2:1"]);
    }
}

#[test]
fn writes_to_a_bind_are_refused_or_thrown_away() {
    for lab in both() {
        lab.write("context/d/f", "old\n");
        lab.write(
            "context/Dockerfile",
            "FROM base AS made\nRUN mkdir -p /out && echo made > /out/f && chown 7:8 /out/f\n\
             FROM base\n\
             RUN --mount=type=bind,source=d,target=/d touch /d/x || echo refused\n\
             RUN --mount=type=bind,source=d,target=/d,rw echo new > /d/f && rm -r /d/f && ls /d\n\
             RUN --mount=type=bind,source=d/f,target=/f,rw echo new > /f && cat /f\n\
             RUN --mount=type=bind,from=made,source=/out,target=/o,rw \
                 stat -c %u:%g /o/f && echo over > /o/f && cat /o/f\n\
             RUN --mount=type=bind,from=made,source=/out,target=/o cat /o/f /o/../o/f\n\
             RUN --mount=type=bind,source=d,target=/d cat /d/f\n",
        );
        let ended = lab.build(&[]).ok();
        let lines = output(&ended.stderr);
        for line in ["refused", "new", "7:8", "over", "made", "old"] {
            assert!(lines.contains(&line), "no {line} in {}", ended.stderr);
        }
    }
}

#[test]
fn caches_are_known_by_id_and_by_what_they_began_as() {
    for lab in both() {
        lab.write("context/seed/s", "seeded\n");
        lab.write(
            "context/Dockerfile",
            "FROM base AS seeds\nCOPY seed /seed\nFROM base\n\
             RUN --mount=type=cache,target=/one,id=x touch /one/root\n\
             RUN --mount=type=cache,target=/two,id=x ls /two && stat -c 'a %a %u:%g' /two\n\
             RUN --mount=type=cache,target=/two,id=x,uid=1001,gid=1002,mode=0700 \
                 ls /two && stat -c 'b %a %u:%g' /two\n\
             RUN --mount=type=cache,target=/two,id=x,from=seeds,source=/seed \
                 cat /two/s && echo more >> /two/s\n\
             RUN --mount=type=cache,target=/three,id=x,from=seeds,source=/seed cat /three/s\n\
             RUN --mount=type=cache,target=/one,id=x,ro touch /one/no || echo read-only\n\
             RUN --mount=type=cache,target=/one,id=x,sharing=locked \
                 --mount=type=cache,target=/two,id=x,sharing=locked touch /one/l && ls /two/l\n\
             USER app\n\
             RUN --mount=type=cache,target=/mine,uid=1001,gid=1002 touch /mine/x && stat -c 'c %u' /mine/x\n",
        );
        let ended = lab.build(&[]).ok();
        assert_eq!(
            output(&ended.stderr)
                .into_iter()
                .filter(|it| !it.contains("Read-only file system"))
                .collect::<Vec<_>>(),
            [
                "root",
                "a 755 0:0",
                "b 700 1001:1002",
                "seeded",
                "seeded",
                "more",
                "read-only",
                "/two/l",
                "c 1001"
            ],
        );
        // Another namespace has caches of its own.
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --mount=type=cache,target=/one,id=x ls /one\n",
        );
        let ended = lab.build(&["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=mine"]).ok();
        assert!(!ended.stderr.contains("root") && !ended.stderr.contains("no effect"));
    }
}

#[test]
fn locked_caches_are_used_one_after_the_other() {
    for lab in both() {
        let text = |name: &str, order: [&str; 2]| {
            format!(
                "FROM base\nRUN --mount=type=cache,id={},target=/1,sharing=locked \
                 --mount=type=cache,id={},target=/2,sharing=locked \
                 for i in 1 2 3 4 5; do mkdir /1/busy && rmdir /1/busy || exit 9; done; echo {name}\n",
                order[0], order[1]
            )
        };
        lab.write("one/Dockerfile", &text("one", ["a", "b"]));
        lab.write("two/Dockerfile", &text("two", ["b", "a"]));
        let start = |folder: &str| -> Child {
            let mut args = lab.build_args(&[]);
            *args.last_mut().unwrap() = lab.path(folder).display().to_string();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            lab.command(&args).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut builds = [start("one"), start("two"), start("one"), start("two")];
        for build in &mut builds {
            assert!(build.wait().unwrap().success());
        }
    }
}

#[test]
fn private_caches_are_used_by_one_build_at_a_time() {
    for lab in both() {
        // The first build waits inside of its RUN until the second one has finished.
        lab.write(
            "one/Dockerfile",
            "FROM base\nRUN --mount=type=cache,id=p,target=/1,sharing=private \
             --mount=type=cache,id=m,target=/m,sharing=shared \
             touch /1/of-one /m/begun; while [ ! -e /m/ended ]; do sleep 0.05; done; ls /1 /m\n",
        );
        lab.write(
            "two/Dockerfile",
            "FROM base\nRUN --mount=type=cache,id=p,target=/1,sharing=private \
             --mount=type=cache,id=m,target=/m,sharing=shared \
             while [ ! -e /m/begun ]; do sleep 0.05; done; \
             [ ! -e /1/of-one ] && touch /1/of-two /m/ended\n",
        );
        lab.write(
            "after/Dockerfile",
            "FROM base\nRUN --mount=type=cache,id=p,target=/1,sharing=private \
             [ -e /1/of-one ] || [ -e /1/of-two ]\n",
        );
        let start = |folder: &str| -> Child {
            let mut args = lab.build_args(&[]);
            *args.last_mut().unwrap() = lab.path(folder).display().to_string();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            lab.command(&args).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut builds = [start("one"), start("two")];
        for build in &mut builds {
            assert!(build.wait().unwrap().success());
        }
        assert!(start("after").wait().unwrap().success(), "a cache of one of them is the cache");
    }
}

#[test]
fn a_tmpfs_has_its_size() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --mount=type=tmpfs,target=/t,size=1m stat -c %a /t && \
             df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2 && ! dd if=/dev/zero of=/t/x bs=2M count=1\n",
        );
        let ended = lab.build(&[]).ok();
        assert_eq!(output(&ended.stderr)[..2], ["1777", "1024"]);
    }
}

#[test]
fn secrets_have_their_places_modes_and_owners() {
    for lab in both() {
        lab.write("secret", "s3cret");
        lab.write(
            "context/Dockerfile",
            "FROM base\nWORKDIR /w\n\
             RUN --mount=type=secret,id=one stat -c '%a %u:%g' /run/secrets/one && cat /run/secrets/one\n\
             RUN --mount=type=secret,id=one,target=rel/ative,mode=0440,uid=5,gid=6 \
                 stat -c '%a %u:%g' /w/rel/ative\n\
             RUN --mount=type=secret,id=one,env=ONE,target=/both \
                 test \"$ONE\" = s3cret && cmp /both /both && echo both\n\
             RUN --mount=type=secret,id=none test ! -e /run/secrets && echo without\n\
             RUN --mount=type=secret,id=none,env=NONE test -z \"${NONE+set}\" && echo unset\n",
        );
        let secret = format!("id=one,src={}", lab.path("secret").display());
        let (manifest, ended) = lab.image(&["--secret", &secret]);
        assert_eq!(
            output(&ended.stderr),
            ["400 0:0", "s3cret", "440 5:6", "both", "without", "unset"]
        );
        assert_eq!(lab.top_layer(&manifest), "");
        lab.write("context/Dockerfile", "FROM base\nRUN --mount=type=secret,id=x,required true\n");
        lab.build(&[]).failed_with(&["secret `x` is required", "--secret id=x"]);
    }
}

#[test]
fn stages_are_mounted_as_they_are() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base AS made\n\
             RUN mkdir -p /out/d && echo one > /out/d/f && ln /out/d/f /out/d/g && ln -s d /out/link \
                 && chown -R 7:8 /out/d && chmod 2750 /out/d && echo old > /out/gone\n\
             RUN rm /out/gone && echo two > /out/d/new\n\
             FROM scratch AS empty\n\
             FROM base\n\
             RUN --mount=from=made,target=/m ls /m/out; stat -c '%a %u:%g' /m/out/d; \
                 stat -c '%a %u:%g %h' /m/out/d/f; \
                 touch /m/x || echo read-only\n\
             RUN --mount=from=made,source=out/link,target=/m cat /m/f /m/new\n\
             RUN --mount=from=made,source=/out/d/f,target=/f,rw cat /f && echo changed > /f && cat /f\n\
             RUN --mount=from=made,source=out,target=/m,rw rm -r /m/d && touch /m/made && ls /m\n\
             RUN --mount=from=empty,target=/m ls -A /m && echo empty\n\
             RUN --mount=from=made,source=out/d,target=/m cat /m/f\n",
        );
        let (manifest, ended) = lab.image(&[]);
        let lines: Vec<_> =
            output(&ended.stderr).into_iter().filter(|it| !it.contains("Read-only")).collect();
        assert_eq!(
            lines,
            [
                "d",
                "link",
                "2750 7:8",
                "644 7:8 2",
                "read-only",
                "one",
                "two",
                "one",
                "changed",
                "link",
                "made",
                "empty",
                "one"
            ]
        );
        assert_eq!(lab.top_layer(&manifest), "");
        lab.write(
            "context/Dockerfile",
            "FROM base AS a\nFROM base\nRUN --mount=from=a,source=no,target=/m true\n",
        );
        lab.build(&[]).failed_with(&["no", "Dockerfile:3:1"]);
    }
}
