//! What must hold for every Dockerfile.

use std::collections::BTreeMap;
use strake_diag::{Colour, Diagnostic, Source, Span};
use strake_dockerfile::{
    Dockerfile, NamedContext, Request, missing, outline, parse, plan, targets, to_dockerfile,
    to_json, to_text, unused_build_args,
};
use strake_oci::{
    Config, Descriptor, Digest, ImageConfig, Manifest, Platform, Raw, Reference, media_type,
};
use strake_plan::{BaseImage, Op, Origin, Plan};

/// Parsing never panics, and every span lies within the text.
pub fn parses(text: &str) {
    let (file, problems) = parse(&Source::new("f", text));
    let inside = |it: Span| it.start <= it.end && it.end as usize <= text.len();
    for it in &problems {
        assert!(inside(it.span), "{it:?}");
        assert!(it.labels.iter().all(|label| inside(label.span)), "{it:?}");
    }
    for it in &file.statements {
        assert!(inside(it.span) && inside(it.extent) && inside(it.keyword.span), "{it:?}");
        assert!(it.extent.start <= it.span.start && it.span.end <= it.extent.end, "{it:?}");
        assert!(it.flags.iter().all(|flag| inside(flag.span)), "{it:?}");
        assert!(it.heredocs.iter().all(|heredoc| inside(heredoc.span)), "{it:?}");
    }
    assert!(file.comments.iter().all(|it| inside(it.span)));
    assert!(file.directives.iter().all(|it| inside(it.span)));
    to_text(&file);
    to_json(&file, &problems);
    strake_diag::render_all(&problems, &file.source, Colour::Never);
}

/// What is printed reads the same, and prints the same.
pub fn prints(text: &str) {
    let (file, problems) = parse(&Source::new("f", text));
    if problems.iter().any(Diagnostic::is_error) {
        return;
    }
    let printed = to_dockerfile(&file);
    let (again, _) = parse(&Source::new("f", printed.clone()));
    assert_eq!(essence(&file), essence(&again), "printed {printed:?}");
    assert_eq!(to_dockerfile(&again), printed);
}

/// All of a file but places and comments.
fn essence(file: &Dockerfile) -> String {
    let mut json = to_json(file, &[]);
    json["comments"].take();
    strip(&mut json);
    json.to_string()
}

fn strip(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for place in ["line", "end_line", "column", "comments"] {
                fields.remove(place);
            }
            fields.iter_mut().for_each(|(_, it)| strip(it));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

/// Substitution ends, whatever the word, and no value grows without bound.
pub fn expands(text: &str) {
    let line: String = text.chars().map(|it| if it == '\n' { ' ' } else { it }).collect();
    let file = format!(
        "FROM scratch\nARG A=foo.tar.gz E= P=/usr/a/b*c\nENV B=\"b c\"\nWORKDIR /{line}\n\
         LABEL k={line}\nCOPY <<EOF_OF_THIS /x\n{text}\nEOF_OF_THIS\n"
    );
    if let Ok(plan) = planned(&file, &mut request(), &[], &[]) {
        let most = (text.len() + 1) * (1 << 20) * 2;
        assert!(plan.stages.iter().all(|it| it.config.working_dir.len() < most));
    }
}

/// Planning never panics, and a plan that cannot be made is an error with a place in the text.
/// Behind a zero byte stand the ONBUILD triggers of every base, a line each, and behind another
/// the environment.
pub fn plans(text: &str) {
    let mut parts = text.split('\0');
    let (text, on_build, env) =
        (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    let lines = |it: &str| it.lines().map(str::to_owned).collect::<Vec<String>>();
    let mut request = request();
    let result = planned(text, &mut request, &lines(on_build.unwrap_or_default()), &lines(env));
    let (file, _) = parse(&Source::new("f", text));
    unused_build_args(&file, &request);
    let _ = targets(&file);
    match result {
        Ok(plan) => {
            assert!(plan.target.0 < plan.stages.len());
            assert!(outline(&file, &request).is_ok());
            for step in plan.stages.iter().flat_map(|it| &it.steps) {
                match &step.op {
                    Op::Run(run) => assert!(run.cwd.starts_with('/') && !run.argv.is_empty()),
                    Op::Copy(copy) => assert!(copy.dest.starts_with('/')),
                    Op::Workdir(workdir) => assert!(workdir.path.starts_with('/')),
                    Op::Config => {}
                }
            }
        }
        Err(problems) => {
            assert!(problems.iter().any(Diagnostic::is_error));
            for it in &problems {
                assert!(it.span.start <= it.span.end, "{it:?}");
                assert!(it.span.end as usize <= text.len(), "{it:?}");
            }
            strake_diag::render_all(&problems, &file.source, Colour::Never);
        }
    }
}

fn request() -> Request {
    let host: Platform = "linux/amd64".parse().expect("a platform");
    let mut request = Request::new(host.clone(), host);
    request.build_args = vec![
        ("A".to_owned(), Some("given".to_owned())),
        ("HTTP_PROXY".to_owned(), Some("http://p".to_owned())),
        ("N".to_owned(), None),
    ];
    request.named.insert("local".to_owned(), NamedContext::Local);
    request.named.insert("other".to_owned(), NamedContext::Image("docker-image://i".to_owned()));
    request.named.insert("empty".to_owned(), NamedContext::Scratch);
    request
}

/// Plans with bases that all look alike.
fn planned(
    text: &str,
    request: &mut Request,
    on_build: &[String],
    env: &[String],
) -> Result<Plan, Vec<Diagnostic>> {
    let (file, _) = parse(&Source::new("f", text));
    loop {
        let wanted = missing(&file, request)?;
        if wanted.is_empty() {
            return plan(&file, request);
        }
        for it in wanted {
            let config = Config {
                env: env.to_vec(),
                on_build: (!on_build.is_empty()).then(|| on_build.to_vec()),
                ..Config::default()
            };
            let image = base(&it.reference, &it.platform, config);
            request.images.insert((it.name, it.platform), image);
        }
    }
}

fn base(name: &str, platform: &Platform, config: Config) -> BaseImage {
    let config = Raw::write(ImageConfig { config, ..ImageConfig::scratch(platform) });
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        config: Descriptor::new(media_type::OCI_CONFIG, Digest::of(b"c"), 1),
        layers: Vec::new(),
        annotations: BTreeMap::new(),
    };
    let origin = match name.parse::<Reference>() {
        Ok(reference) => Origin::Registry(reference),
        Err(_) => Origin::Layout(name.into()),
    };
    BaseImage { written: name.to_owned(), origin, manifest: Raw::write(manifest), config }
}
