//! What must hold for fixes of every Dockerfile.

use std::collections::BTreeMap;
use strake_diag::{Diagnostic, Source, Span};
use strake_dockerfile::{Request, missing, parse, plan};
use strake_lint::{Outside, Safety, Settings, apply, fix_file, lint};
use strake_oci::{
    Config, Descriptor, Digest, ImageConfig, Manifest, Platform, Raw, Reference, media_type,
};
use strake_plan::{BaseImage, Origin, Plan};

/// Linting never panics and every span lies within the text; all safe fixes leave a file that parses
/// and the plan that it had, and are stable; unsafe ones leave a file that parses.
pub fn fixes(text: &str) {
    let source = Source::new("f", text);
    let settings = Settings { select: vec!["all".to_owned()], ..Settings::default() };
    let outside = Outside::default();
    let report = lint(&source, &outside, &settings).expect("all rules are known");
    for it in &report.findings {
        let inside = |it: Span| it.start <= it.end && it.end as usize <= text.len();
        assert!(inside(it.span), "{it:?}");
        assert!(it.labels.iter().all(|it| inside(it.span)), "{it:?}");
        assert!(it.fix.iter().flat_map(|it| &it.edits).all(|it| inside(it.span)), "{it:?}");
    }
    let before = planned(&source);
    let (once, _) = apply(text, &report.findings, Safety::Safe);
    let fixed = fix_file(&source, &outside, &settings, Safety::Safe).expect("as above");
    for text in [&once, &fixed.text] {
        let after = planned(&Source::new("f", text.clone()));
        match (&before, after) {
            (Ok(before), Ok(after)) => assert_eq!(essence(before), essence(&after), "{text}"),
            (Ok(_), Err(problems)) => panic!("cannot be planned any more: {problems:?}\n{text}"),
            (Err(_), _) => {}
        }
    }
    let again = Source::new("f", fixed.text.clone());
    let again = fix_file(&again, &outside, &settings, Safety::Safe).expect("as above");
    assert_eq!(again.text, fixed.text, "not stable");
    let errors = |it: &[Diagnostic]| it.iter().any(Diagnostic::is_error);
    let risky = fix_file(&source, &outside, &settings, Safety::Unsafe).expect("as above");
    let (_, problems) = parse(&Source::new("f", risky.text.clone()));
    assert!(errors(&report.problems) || !errors(&problems), "{}", risky.text);
}

/// All that is built, without places and without what progress shows.
fn essence(plan: &Plan) -> String {
    let mut plan = plan.clone();
    for stage in &mut plan.stages {
        stage.span = Span::default();
        for step in &mut stage.steps {
            step.span = Span::default();
            step.text.clear();
        }
    }
    format!("{plan:#?}")
}

/// The plan with bases that all look alike.
fn planned(source: &Source) -> Result<Plan, Vec<Diagnostic>> {
    let host: Platform = "linux/amd64".parse().expect("a platform");
    let mut request = Request::new(host.clone(), host);
    let (file, _) = parse(source);
    loop {
        let wanted = missing(&file, &request)?;
        if wanted.is_empty() {
            return plan(&file, &request);
        }
        for it in wanted {
            let image = base(&it.reference, &it.platform);
            request.images.insert((it.name, it.platform), image);
        }
    }
}

fn base(name: &str, platform: &Platform) -> BaseImage {
    let config = Config::default();
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
