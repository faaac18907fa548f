//! What a RUN leaves in its layer: special files, owners, links, what was only there for the run.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;

/// The last step's layer without dates, the same as root and as a user with one id.
#[track_caller]
fn assert_layer(text: &str, expected: &[&str]) {
    for lab in [Lab::new(), Lab::ordinary()] {
        lab.write("context/Dockerfile", text);
        let (manifest, ended) = lab.image(&[]);
        let listing = lab.top_layer(&manifest);
        let fields = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {} {}", words[0], words[1], words[2], words[5..].join(" "))
        };
        let lines: Vec<String> = listing.lines().map(fields).collect();
        assert_eq!(lines, expected, "{text}\n{}", ended.stderr);
    }
}

#[test]
fn special_files_are_kept() {
    assert_layer(
        "FROM base\nRUN mkdir /s\n\
         RUN cd /s && mkfifo -m 620 pipe && chown 9:8 pipe && mknod -m 640 dev c 1 3 && chown 3:4 dev \
             && ln -s nowhere link && chown -h 5:6 link && { mknod whiteout c 0 0 || true; } \
             && truncate -s 1M sparse\n",
        &[
            "drwxr-xr-x 0/0 0 s/",
            "crw-r----- 3/4 1,3 s/dev",
            "lrwxrwxrwx 5/6 0 s/link -> nowhere",
            "prw--w---- 9/8 0 s/pipe",
            "-rw-r--r-- 0/0 1048576 s/sparse",
        ],
    );
}

#[test]
fn what_a_mount_needs_goes_with_it() {
    // The folder of the cache is changed, and something in it made and removed again.
    assert_layer(
        "FROM base\n\
         RUN --mount=type=cache,target=/new/deep/cache touch /new/deep/x && rm /new/deep/x \
             && chmod 700 /new && touch /new/deep/cache/x && touch /kept\n",
        &["-rw-r--r-- 0/0 0 kept"],
    );
    // What holds something stays.
    assert_layer(
        "FROM base\nRUN --mount=type=tmpfs,target=/new/deep touch /new/deep/x /new/kept\n",
        &["drwxr-xr-x 0/0 0 new/", "-rw-r--r-- 0/0 0 new/kept"],
    );
    // And so does what was there before.
    assert_layer(
        "FROM base\nRUN mkdir /old\n\
         RUN --mount=type=tmpfs,target=/old/deep chmod 700 /old\n",
        &["drwx------ 0/0 0 old/"],
    );
}

#[test]
fn folders_for_file_systems_of_the_container_stay_where_the_tree_has_none() {
    let from = "FROM scratch\nCOPY --from=base /bin/busybox /bin/busybox\n";
    let first = format!("{from}RUN [\"/bin/busybox\", \"touch\", \"/x\"]\n");
    assert_layer(
        &first,
        &[
            "drwxr-xr-x 0/0 0 dev/",
            "drwxr-xr-x 0/0 0 proc/",
            "drwxr-xr-x 0/0 0 sys/",
            "-rw-r--r-- 0/0 0 x",
        ],
    );
    let second = format!("{first}RUN [\"/bin/busybox\", \"touch\", \"/y\"]\n");
    assert_layer(&second, &["-rw-r--r-- 0/0 0 y"]);
}

#[test]
fn a_user_may_do_what_the_kernel_lets_it() {
    for lab in [Lab::new(), Lab::ordinary()] {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN echo x > /tmp/theirs && chmod 666 /tmp/theirs && echo x > /tmp/read\n\
             USER app\n\
             RUN id -G; ln /tmp/theirs /tmp/one && echo linked; \
                 ln /tmp/read /tmp/two 2> /dev/null || echo not linked; \
                 mv /tmp/read /tmp/z 2> /dev/null || echo sticky; \
                 chown 0 /tmp/one 2> /dev/null || echo not mine\n",
        );
        let ended = lab.build(&[]).ok();
        let expected = ["1002 1003", "linked", "not linked", "sticky", "not mine"];
        let told: Vec<&str> = ended
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("#3 ")?.split_once(' ').map(|it| it.1))
            .filter(|it| expected.contains(it))
            .collect();
        assert_eq!(told, expected, "{}", ended.stderr);
    }
}
