//! What the cache promises: hits, early cutoff, each step once.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;

const APP: &str = "FROM base AS deps
WORKDIR /app
COPY manifest ./
RUN echo installing && cp manifest installed
COPY . .
RUN cat src/main installed > built
FROM base
COPY --from=deps /app/built /srv/built
LABEL version=1
EXPOSE 80
RUN wc -c /srv/built > /srv/size
";

fn app(lab: &Lab) {
    lab.write("context/Dockerfile", APP);
    lab.write("context/.dockerignore", "Dockerfile\n.dockerignore\n");
    lab.write("context/manifest", "one\n");
    lab.write("context/src/main", "hello\n");
}

#[test]
fn the_second_build_is_all_hits_and_the_same_image() {
    let lab = Lab::new();
    app(&lab);
    let (first, ended) = lab.image(&[]);
    assert_eq!(ended.steps().0, Vec::<String>::new());
    let (second, ended) = lab.image(&[]);
    assert_eq!(ended.steps().1, Vec::<String>::new(), "{}", ended.stderr);
    assert_eq!(first, second);
}

#[test]
fn a_stage_that_waits_for_another_lets_it_have_the_step_that_both_begin_with() {
    let lab = Lab::new();
    // Which of the stages makes the step is chance.
    for number in 0..8 {
        lab.write(
            "context/Dockerfile",
            &format!(
                "FROM base AS one\nRUN sleep 0.1 && echo {number} > /x\nRUN cp /x /y\n\
                 FROM base\nRUN sleep 0.1 && echo {number} > /x\nCOPY --from=one /y /z\n"
            ),
        );
        lab.build(&[]).ok();
    }
}

#[test]
fn a_source_change_rebuilds_from_its_copy_on() {
    let lab = Lab::new();
    app(&lab);
    lab.image(&[]);
    lab.write("context/src/main", "changed\n");
    let (_, ended) = lab.image(&[]);
    let (cached, _) = ended.steps();
    assert!(cached.iter().any(|it| it.starts_with("RUN echo installing")), "{}", ended.stderr);
    assert!(!cached.iter().any(|it| it.starts_with("COPY . .")), "{}", ended.stderr);
}

#[test]
fn metadata_rebuilds_nothing() {
    let lab = Lab::new();
    app(&lab);
    let (first, _) = lab.image(&[]);
    lab.write(
        "context/Dockerfile",
        &APP.replace("version=1", "version=2").replace("EXPOSE 80", "EXPOSE 81"),
    );
    let (second, ended) = lab.image(&[]);
    assert_eq!(ended.steps().1, Vec::<String>::new(), "{}", ended.stderr);
    assert_ne!(first, second);
    assert_eq!(lab.config(&second)["config"]["Labels"]["version"], "2");
}

#[test]
fn an_equal_result_cuts_the_rebuild_off() {
    let lab = Lab::new();
    // A RUN below an ARG sees it: what stands above is in another stage.
    lab.write(
        "context/Dockerfile",
        "FROM base AS made\nARG COMMIT\nRUN echo \"$COMMIT\" > /dev/null; echo same > /made\n\
         COPY Dockerfile /last\nFROM base\nCOPY --from=made /made /made\n\
         RUN cat /made > /above\n",
    );
    let (first, _) = lab.image(&["--build-arg", "COMMIT=1"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (second, ended) = lab.image(&["--build-arg", "COMMIT=2"]);
    let (cached, done) = ended.steps();
    assert_eq!(done.len(), 1, "{}", ended.stderr);
    assert!(done[0].starts_with("RUN echo"), "{}", ended.stderr);
    assert_eq!(cached.len(), 3, "{}", ended.stderr);
    assert_eq!(first, second);
}

#[test]
fn no_cache_and_its_filter() {
    let lab = Lab::new();
    app(&lab);
    lab.image(&[]);
    let (_, ended) = lab.image(&["--no-cache-filter", "deps"]);
    assert!(ended.steps().1.iter().any(|it| it.starts_with("RUN echo installing")));
    let (_, ended) = lab.image(&["--no-cache"]);
    assert_eq!(ended.steps().0, Vec::<String>::new());
}

#[test]
fn eight_builds_at_once_do_each_step_once() {
    let lab = Lab::new();
    lab.write(
        "context/Dockerfile",
        "FROM base\nRUN --mount=type=cache,id=count,target=/c echo x >> /c/runs; sleep 1\n\
         RUN --mount=type=cache,id=count,target=/c cp /c/runs /runs\n",
    );
    let args: Vec<Vec<String>> = (0..8)
        .map(|number| {
            let out =
                format!("type=oci,tar=false,dest={}", lab.path(&format!("out{number}")).display());
            lab.build_args(&["-o", &out])
        })
        .collect();
    let children: Vec<_> = args
        .iter()
        .map(|it| {
            let args: Vec<&str> = it.iter().map(String::as_str).collect();
            let mut command = lab.command(&args);
            command.stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut digests = std::collections::BTreeSet::new();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let index = std::fs::read(lab.path(&format!("out{number}/index.json"))).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        digests.insert(index["manifests"][0]["digest"].as_str().unwrap().to_owned());
    }
    assert_eq!(digests.len(), 1);
    let local = format!("type=local,dest={}", lab.path("tree").display());
    lab.build(&["-o", &local]).ok();
    assert_eq!(std::fs::read_to_string(lab.path("tree/runs")).unwrap(), "x\n");
}
