//! What the command line gives to a RUN or allows it: host name, hosts, limits, devices, security.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;

fn both() -> [Lab; 2] {
    [Lab::new(), Lab::ordinary()]
}

#[track_caller]
fn has_lines(stderr: &str, lines: &[&str]) {
    for wanted in lines {
        let found =
            stderr.lines().any(|it| it.split_once(' ').is_some_and(|it| it.1.ends_with(wanted)));
        assert!(found, "no line `{wanted}` in:\n{stderr}");
    }
}

#[test]
fn host_name_hosts_limits_and_shm() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN hostname; grep -c buildkitsandbox /etc/hosts; true\n\
             RUN cat /etc/hosts; ulimit -n; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; umask\n",
        );
        has_lines(&lab.build(&[]).ok().stderr, &[" buildkitsandbox", " 1", " 65536", " 0022"]);
        let hostname = ["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=builder"];
        let more = ["--add-host", "db:10.1.2.3", "--ulimit", "nofile=77", "--shm-size", "3m"];
        let ended = lab.build(&[hostname.as_slice(), &more].concat()).ok();
        assert!(!ended.stderr.contains("no effect"), "{}", ended.stderr);
        let lines = ["builder", "10.1.2.3\tdb", "127.0.0.1\tlocalhost builder", " 77", " 3072"];
        has_lines(&ended.stderr, &lines);
        // They are part of what a step is known by.
        let (cached, done) = lab.build(&more).ok().steps();
        assert_eq!((cached.len(), done.len()), (0, 2));
        let (cached, done) = lab.build(&more).ok().steps();
        assert_eq!((cached.len(), done.len()), (2, 0));
    }
}

#[test]
fn raising_a_hard_limit_as_a_user_says_who_can() {
    let lab = Lab::ordinary();
    lab.write("context/Dockerfile", "FROM base\nRUN true\n");
    lab.build(&["--ulimit", "nofile=2000000000"])
        .failed_with(&["ulimit nofile: Operation not permitted", "only root can raise"]);
}

/// Whether this process may make a group in which memory is limited, found out by making one.
fn has_groups() -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").expect("/proc is there");
    let path = |prefix: &str| {
        let line = own.lines().find_map(|it| it.split_once(prefix));
        line.map(|it| it.1.trim_start_matches('/').to_owned())
    };
    let group = match path(":memory:") {
        Some(path) => std::path::Path::new("/sys/fs/cgroup/memory").join(path),
        None => std::path::Path::new("/sys/fs/cgroup").join(path("0::").unwrap_or_default()),
    };
    let made = group.join("strake-test");
    let limited = std::fs::create_dir(&made).is_ok()
        && ["memory.limit_in_bytes", "memory.max"].iter().any(|it| made.join(it).exists());
    let _there = std::fs::remove_dir(made);
    limited
}

#[test]
fn memory_is_limited_where_control_groups_are_ones_own() {
    for (lab, has_groups) in both().into_iter().zip([has_groups(), false]) {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN dd if=/dev/zero of=/dev/null bs=128M count=1\n",
        );
        let limited = lab.build(&["--memory", "32m"]);
        if has_groups {
            limited.failed_with(&["exit code: 137", "for want of more --memory"]);
            for sandbox in ["auto", "emulated"] {
                let more = ["--memory", "512m", "--cpu-quota", "50000", "--sandbox", sandbox];
                lab.build(&[&more[..], &["--no-cache"]].concat()).ok();
            }
            // What asks for its limits finds its own group at the top.
            lab.write("context/own", "FROM base\nRUN ! grep strake /proc/self/cgroup\n");
            lab.build(&["--memory", "32m", "-f", "context/own"]).ok();
        } else {
            limited.failed_with(&["cgroup: ", "Delegate=yes"]);
        }
        lab.build(&["--memory", "5m"]).failed_with(&["nothing runs in less than 6m"]);
        lab.build(&["--memory-swap", "1g"]).failed_with(&["memory and swap together"]);
        // A limit decides whether a RUN ends, and nothing else.
        assert_eq!(lab.build(&[]).ok().steps().0.len(), usize::from(has_groups));
    }
    let left = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in left.lines().filter(|it| it.contains(" - cgroup")) {
        let mounted = line.split(' ').nth(4).unwrap();
        let found =
            std::process::Command::new("find").args([mounted, "-name", "strake-run-*"]).output();
        assert_eq!(String::from_utf8(found.unwrap().stdout).unwrap(), "");
    }
}

#[test]
fn insecure_only_where_it_is_allowed() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --security=insecure mount -t tmpfs none /tmp && echo mounted\n",
        );
        lab.build(&[]).failed_with(&[
            "RUN --security=insecure is not allowed",
            "--allow security.insecure",
            "Dockerfile:2:1",
        ]);
        let (manifest, ended) = lab.image(&["--allow", "security.insecure"]);
        has_lines(&ended.stderr, &["mounted"]);
        assert_eq!(lab.top_layer(&manifest), "");
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --security=sandbox ! mount -t tmpfs none /tmp\n",
        );
        lab.build(&["--allow", "security.insecure"]).ok();
    }
}

#[test]
fn the_hosts_network_needs_leave_only_where_networks_are_off() {
    for lab in both() {
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --network=host echo on\nRUN ls /sys/class/net\n",
        );
        lab.build(&[]).ok();
        lab.build(&["--network", "none"])
            .failed_with(&["RUN --network=host is not allowed", "--allow network.host"]);
        let allowed = lab.build(&["--network", "none", "--allow", "network.host"]).ok();
        has_lines(&allowed.stderr, &[" lo"]);
    }
}

#[test]
fn devices_of_specifications() {
    for lab in both() {
        lab.write("cdi/tool", "from the host\n");
        let tool = lab.path("cdi/tool");
        lab.write(
            "cdi/acme.yaml",
            &format!(
                "cdiVersion: 0.6.0\nkind: acme.com/gpu\ndevices:\n- name: zero\n  containerEdits:\n    \
                 env: [ACME=visible]\n    deviceNodes:\n    - path: /dev/acme/zero\n      \
                 hostPath: /dev/zero\n      permissions: rw\n    mounts:\n    - hostPath: {}\n      \
                 containerPath: /usr/lib/acme/tool\n      options: [ro, nosuid, nodev, bind]\n",
                tool.display()
            ),
        );
        lab.write(
            "context/Dockerfile",
            "FROM base\nRUN --device=acme.com/gpu=zero,required \
             head -c 5 /dev/acme/zero | wc -c; echo $ACME; cat /usr/lib/acme/tool; \
             touch /usr/lib/acme/tool || echo read-only\n\
             RUN --device=acme.com/gpu=two echo without\n",
        );
        let folder = lab.path("cdi").display().to_string();
        lab.build(&["--cdi-dir", &folder]).failed_with(&[
            "device `acme.com/gpu=zero` is not allowed",
            "--allow device=acme.com/gpu=zero",
        ]);
        let allow = ["--allow", "device=acme.com/gpu", "--cdi-dir", &folder];
        let (manifest, ended) = lab.image(&allow);
        has_lines(&ended.stderr, &[" 5", "visible", "from the host", "read-only", "without"]);
        assert!(ended.stderr.contains("acme.com/gpu=two: it is left out"), "{}", ended.stderr);
        assert_eq!(lab.top_layer(&manifest), "");
        lab.write("context/Dockerfile", "FROM base\nRUN --device=acme.com/gpu=two,required true\n");
        lab.build(&allow).failed_with(&["`acme.com/gpu=two` is required", &folder]);
    }
}
