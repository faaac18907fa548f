//! FROM, stages, images and users.

use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Base, Facts};
use std::collections::BTreeMap;
use strake_diag::Span;
use strake_dockerfile::Instruction;
use strake_oci::Reference;

pub(super) static RULES: &[&Rule] = &[
    &STAGE_CASE, &DUPLICATE_STAGE, &RESERVED_STAGE, &CONST_PLATFORM, &TARGET_PLATFORM,
    &BASE_PLATFORM, &UNTAGGED, &LATEST, &UNTRUSTED, &UNDEFINED_FROM, &SELF_FROM, &ROOT, &NAMED_USER,
    &ROOT_COPY, &UNUSED_STAGE,
];

rule!(STAGE_CASE = "stage-name-casing", ["StageNameCasing"], Language, Warning, on,
    FixKind::Sometimes(Safety::Safe), stage_case);
rule!(DUPLICATE_STAGE = "duplicate-stage-name", ["DuplicateStageName", "DL3024"], Language, Error,
    on, FixKind::None, duplicate_stage);
rule!(RESERVED_STAGE = "reserved-stage-name", ["ReservedStageName", "DL3063"], Language, Warning,
    on, FixKind::None, reserved_stage);
rule!(CONST_PLATFORM = "constant-platform", ["FromPlatformFlagConstDisallowed", "DL3029"],
    Language, Warning, on, FixKind::None, const_platform);
rule!(TARGET_PLATFORM = "redundant-target-platform", ["RedundantTargetPlatform", "DL3065"],
    Language, Warning, on, FixKind::Sometimes(Safety::Safe), target_platform);
rule!(BASE_PLATFORM = "wrong-base-platform", ["InvalidBaseImagePlatform"], Language, Warning, on,
    FixKind::None, base_platform);
rule!(UNTAGGED = "untagged-image", ["DL3006"], Security, Warning, on, FixKind::None, untagged);
rule!(LATEST = "latest-tag", ["DL3007"], Security, Warning, on, FixKind::None, latest);
rule!(UNTRUSTED = "untrusted-registry", ["DL3026"], Security, Error, on, FixKind::None, untrusted);
rule!(UNDEFINED_FROM = "copy-from-nowhere", ["DL3022"], Language, Warning, on, FixKind::None,
    undefined_from);
rule!(SELF_FROM = "copy-from-itself", ["DL3023"], Language, Error, on, FixKind::None, self_from);
rule!(ROOT = "root-user", ["DL3002"], Security, Warning, on, FixKind::None, root);
rule!(NAMED_USER = "named-user", ["DL3066"], Security, Info, off, FixKind::None, named_user);
rule!(ROOT_COPY = "copy-root-to-root", ["DL3067"], Cache, Warning, on, FixKind::None, root_copy);
rule!(UNUSED_STAGE = "unused-stage", [], Cache, Info, off, FixKind::None, unused_stage);

fn stage_case(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let Some(name) = &stage.from.name else { continue };
        let lower = name.text.to_lowercase();
        if lower != name.text {
            let message = format!("the stage name `{}` is not in lower case", name.text);
            let edits = vec![edit(name.span, lower.clone())];
            let fix = Fix::safe(format!("write `{lower}`"), edits);
            out.at(name.span, message).fix(fix);
        }
    }
}

fn duplicate_stage(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for stage in &facts.stages {
        let Some(name) = &stage.from.name else { continue };
        let key = name.text.to_lowercase();
        if let Some(first) = seen.get(&key) {
            let message = format!("there is a stage `{}` already", name.text);
            out.at(name.span, message).label(*first, "the first of this name");
        } else {
            seen.insert(key, name.span);
        }
    }
}

fn reserved_stage(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for name in facts.stages.iter().filter_map(|it| it.from.name.as_ref()) {
        if ["scratch", "context"].contains(&name.text.to_lowercase().as_str()) {
            let message = format!("`{}` has a meaning of its own and cannot name a stage", name.text);
            out.at(name.span, message);
        }
    }
}

fn const_platform(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let Some(platform) = &stage.from.platform else { continue };
        if platform.text.contains('$') {
            continue;
        }
        let name = stage.from.name.as_ref().map(|it| it.text.to_lowercase()).unwrap_or_default();
        let parts = platform.text.to_lowercase();
        let about = parts.split('/').any(|it| !it.is_empty() && name.contains(it));
        if !about {
            let message = format!("`--platform={}` builds for one platform only", platform.text);
            let hint = "leave it out, use $BUILDPLATFORM, or name the stage after the platform";
            out.at(platform.span, message).hint(hint);
        }
    }
}

fn target_platform(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (stage, statement) in facts.stages.iter().map(|it| (it, &facts.file.statements[it.statement]))
    {
        let Some(platform) = &stage.from.platform else { continue };
        if !["$TARGETPLATFORM", "${TARGETPLATFORM}"].contains(&platform.text.as_str()) {
            continue;
        }
        let Some(flag) = statement.flags.first() else { continue };
        let next = stage.from.base.span.start;
        let gone = Span { start: flag.span.start, end: next };
        let finding = out.at(flag.span, "the target platform is the default");
        if statement.flags.len() == 1 && facts.global("TARGETPLATFORM").is_none() {
            finding.fix(Fix::safe("leave `--platform` out", vec![edit(gone, "")]));
        }
    }
}

fn base_platform(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let Base::Image(name) = &stage.base else { continue };
        let Some((wanted, found)) = facts.outside.platforms.get(name) else { continue };
        if wanted != found {
            let message = format!("{name} is for {found}, and {wanted} is built for");
            out.at(stage.from.base.span, message);
        }
    }
}

/// Tag and digest of an image name; nothing where it is a stage, `scratch` or has variables.
fn image(facts: &Facts<'_>, stage: &crate::Stage<'_>) -> Option<(bool, Option<String>)> {
    let Base::Image(name) = &stage.base else { return None };
    let _ = facts;
    let written = &stage.from.base.text;
    if written.starts_with('$') && name.starts_with('$') {
        return None;
    }
    let (name, digest) = name.split_once('@').map_or((name.as_str(), None), |(a, b)| (a, Some(b)));
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag.to_owned());
    Some((digest.is_some(), tag))
}

fn untagged(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        if let Some((false, None)) = image(facts, stage) {
            let message = format!("`{}` has no tag, so it is whatever is latest", stage.from.base.text);
            out.at(stage.from.base.span, message).hint("name a version");
        }
    }
}

fn latest(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        if let Some((false, Some(tag))) = image(facts, stage)
            && tag == "latest"
        {
            let message = "`latest` is another image from day to day";
            out.at(stage.from.base.span, message).hint("name a version");
        }
    }
}

fn untrusted(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let trusted = &facts.settings.trusted;
    if trusted.is_empty() {
        return;
    }
    for stage in &facts.stages {
        let Base::Image(name) = &stage.base else { continue };
        let Ok(reference) = name.parse::<Reference>() else { continue };
        let registry = reference.registry.clone();
        let matches = |pattern: &String| match pattern.split_once('*') {
            Some(("", suffix)) => registry.ends_with(suffix),
            Some((prefix, "")) => registry.starts_with(prefix),
            _ => {
                *pattern == registry
                    || registry == "docker.io" && pattern == "hub.docker.com"
                    || registry == "registry-1.docker.io" && pattern == "docker.io"
            }
        };
        if !trusted.iter().any(matches) {
            let message = format!("images from {registry} are not trusted here");
            out.at(stage.from.base.span, message)
                .hint(format!("trusted-registries has {}", trusted.join(", ")));
        }
    }
}

fn undefined_from(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(from) = step.transfer().and_then(|it| it.from) else { continue };
        let is_stage = |stage: usize| {
            facts.stage_meant(from, stage).is_some()
                || facts.stage_named(&from.text, stage + 1).is_some()
                || from.text.parse::<usize>().is_ok_and(|it| it == stage)
        };
        let known = step.stage.is_some_and(is_stage)
            || facts.outside.named.contains(&from.text)
            || from.text.contains([':', '@', '$']);
        if !known {
            let message = format!("there is no stage `{}` above, and no tag says it is an image", from.text);
            out.at(from.span, message);
        }
    }
}

fn self_from(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let (Some(stage), Some(from)) = (step.stage, step.transfer().and_then(|it| it.from)) else {
            continue;
        };
        let own = facts.stages[stage].from.name.as_ref();
        let same = own.is_some_and(|it| it.text.eq_ignore_ascii_case(&from.text));
        if same {
            out.at(from.span, "a stage cannot copy from itself");
        }
    }
}

fn root(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let mut users = facts.steps_of(stage.index).iter().filter_map(|it| match it.instruction {
            Some(Instruction::User(user)) if !it.onbuild => Some((it, user)),
            Some(_) | None => None,
        });
        let Some((step, user)) = users.next_back() else { continue };
        let name = facts.expand(&user.user.text, step.index);
        let name = name.split(':').next().unwrap_or_default();
        let only = stage.index + 1 == facts.stages.len();
        if matches!(name, "root" | "0") && only {
            let hint = "end with a USER that owns no more than it needs";
            out.at(user.user.span, "the last USER is root").hint(hint);
        }
    }
}

fn named_user(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::User(user)) = step.instruction else { continue };
        let number = |it: &str| it.bytes().all(|it| it.is_ascii_digit()) || it.contains('$');
        let name = user.user.text.split(':').next().unwrap_or_default();
        if !number(name) {
            let message = format!("Kubernetes cannot tell that `{}` is not root", user.user.text);
            out.at(user.user.span, message).hint("write the user's number");
        }
    }
}

fn root_copy(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(transfer) = step.transfer().filter(|it| it.from.is_some()) else { continue };
        let all = transfer.files.sources.iter().any(|it| it.text == "/");
        if all && transfer.files.dest.text == "/" {
            let message = "a whole root is copied over this one";
            out.at(step.span(), message).hint("copy what is needed, or write FROM that stage");
        }
    }
}

fn unused_stage(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let linear = facts.outside.builder == crate::Builder::Kaniko;
    for stage in facts.stages.iter().filter(|it| !it.needed) {
        let name = stage.from.name.as_ref();
        let called = name.map_or("this stage".to_owned(), |it| format!("stage `{}`", it.text));
        let message = match linear {
            true => format!("{called} is not needed for the last one, and kaniko builds it all the same"),
            false => format!("{called} is not needed for the last one, and is built only by --target"),
        };
        out.at(facts.file.statements[stage.statement].span, message);
    }
}
