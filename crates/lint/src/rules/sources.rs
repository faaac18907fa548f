//! What comes from elsewhere: downloads, clones, images; secrets on the way.

use crate::facts::{Arg, Cmd, Join};
use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Base, Facts, Step};
use std::collections::BTreeMap;
use strake_dockerfile::Instruction;

pub(super) static RULES: &[&Rule] = &[
    &MUTABLE, &UPGRADE, &NPM_INSTALL, &CLOCK, &ADD_URL, &FLOATING, &TWO_TAGS, &LINK, &SECRET_FILE,
    &SECRET_URL, &SECRET_RUN, &ONBUILD_COPY,
];

rule!(MUTABLE = "mutable-download", [], Cache, Warning, on, FixKind::None, mutable);
rule!(UPGRADE = "system-upgrade", [], Cache, Info, on, FixKind::None, upgrade);
rule!(NPM_INSTALL = "npm-install-with-lockfile", [], Cache, Warning, on,
    FixKind::Always(Safety::Unsafe), npm_install);
rule!(CLOCK = "never-the-same-run", [], Cache, Warning, on, FixKind::None, clock);
rule!(ADD_URL = "add-url-unchecked", [], Cache, Info, on, FixKind::None, add_url);
rule!(FLOATING = "floating-copy-source", [], Security, Warning, on, FixKind::None, floating);
rule!(TWO_TAGS = "one-image-two-tags", [], Cache, Info, off, FixKind::None, two_tags);
rule!(LINK = "copy-link-chance", [], Cache, Info, off, FixKind::Always(Safety::Unsafe), link);
rule!(SECRET_FILE = "secret-copied", [], Security, Error, on, FixKind::None, secret_file);
rule!(SECRET_URL = "secret-in-url", [], Security, Error, on, FixKind::None, secret_url);
rule!(SECRET_RUN = "secret-arg-in-run", [], Security, Warning, on, FixKind::None, secret_run);
rule!(ONBUILD_COPY = "onbuild-copies-all", [], Cache, Info, on, FixKind::None, onbuild_copy);

fn is_url(text: &str) -> bool {
    ["http://", "https://", "ftp://", "git://", "git@", "ssh://"].iter().any(|it| text.starts_with(it))
}

/// An address whose content moves: a branch, or `latest`.
fn moves(url: &str) -> bool {
    let parts = url.split(['/', '?', '&', '=', '#']).skip(3);
    parts.into_iter().any(|it| {
        matches!(it, "latest" | "master" | "main" | "HEAD" | "nightly" | "develop" | "trunk" | "stable.txt")
            || it.starts_with("latest.")
    })
}

fn checks(cmd: &Cmd) -> bool {
    cmd.is(&["sha256sum", "sha512sum", "sha1sum", "shasum", "gpg", "gpgv", "cosign", "minisign", "md5sum"])
}

fn mutable(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let commands = &step.script.commands;
        if commands.iter().any(checks) {
            continue;
        }
        for (at, cmd) in commands.iter().enumerate() {
            let loads = cmd.is(&["curl", "wget"]);
            let url = cmd.args.iter().find(|it| is_url(&it.text) && moves(&it.text));
            let clones = cmd.is(&["git"]) && cmd.verb(&["clone"]);
            if let Some(url) = url.filter(|_| loads) {
                let message = "what is there changes, and a cached layer keeps the old one for ever";
                out.at(url.span, message).hint("name a version, and check it: ADD --checksum=sha256:..");
            } else if clones && !pinned_clone(cmd, &commands[at + 1..]) {
                let message = "this clones a branch as it is today, and a cached layer keeps that for ever";
                out.at(cmd.span, message).hint("ADD https://..git#COMMIT, or check a commit out");
            } else if loads && piped_to_shell(commands, at) {
                let message = "a script from the net is run unseen";
                out.at(cmd.span, message).hint("ADD --checksum=sha256:.. it, and run the copy");
            }
        }
    }
}

fn pinned_clone(cmd: &Cmd, after: &[Cmd]) -> bool {
    let version = |it: &Arg| it.text.contains(|it: char| it.is_ascii_digit()) || it.is_dynamic();
    let named = cmd.value_of(&["-b", "--branch", "--revision"]).is_some_and(version);
    let checkout = after.iter().any(|it| it.is(&["git"]) && it.has_any(&["checkout", "reset", "switch"]));
    named || checkout || cmd.args.iter().any(|it| it.text.starts_with("--branch=") && version(it))
}

fn piped_to_shell(commands: &[Cmd], at: usize) -> bool {
    commands.get(at + 1).is_some_and(|next| {
        next.join == Join::Pipe && matches!(next.program(), "sh" | "bash" | "ash" | "sudo" | "python" | "python3")
    })
}

fn upgrade(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, cmd) in facts.commands() {
        let verb = match cmd.name.as_str() {
            "apt-get" | "apt" => cmd.verb(&["upgrade", "dist-upgrade", "full-upgrade"]),
            "apk" => cmd.verb(&["upgrade"]),
            "dnf" | "yum" | "microdnf" => cmd.verb(&["upgrade", "update"]) && cmd.plain().count() == 1,
            _ => false,
        };
        if verb {
            let message = "upgrades once, and not again until something above changes";
            out.at(cmd.span, message).hint("use a newer base image, and build with --pull");
        }
    }
}

fn npm_install(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs().filter(|it| !it.onbuild) {
        let Some(stage) = step.stage else { continue };
        for cmd in step.script.commands.iter().filter(|it| it.is(&["npm"])) {
            let plain = cmd.operands(&["--prefix", "--loglevel", "--registry"]);
            let [verb] = plain.as_slice() else { continue };
            if !["install", "i"].contains(&verb.text.as_str()) || cmd.has_flag(&["global", "g", "save", "no-package-lock"]) || cmd.has("--package-lock=false") {
                continue;
            }
            let above = facts.steps_of(stage).iter().filter(|it| it.index < step.index);
            let lock = above.filter_map(Step::from_context).any(|it| {
                let named = it.files.sources.iter().any(|it| it.text.ends_with("package-lock.json"));
                let there = facts.outside.context.as_ref().is_some_and(|it| it.has("package-lock.json"));
                named || there && it.selects("package-lock.json")
            });
            if lock {
                let message = "npm install may take other versions than the lockfile says, and changes it";
                let finding = out.at(verb.span, message);
                finding.hint("use npm ci");
                finding.fix(Fix::risky("write `npm ci`", vec![edit(verb.span, "ci")]));
            }
        }
    }
}

fn clock(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        for cmd in &step.script.commands {
            let git = cmd.is(&["git"]) && cmd.verb(&["rev-parse", "describe", "log", "rev-list"]);
            let time = cmd.is(&["date", "uuidgen", "mktemp"]) && !cmd.has_any(&["-d", "-r", "--date"])
                && !cmd.args.iter().any(|it| it.text.contains("SOURCE_DATE_EPOCH"));
            let kept = cmd.substituted && (git || cmd.is(&["date", "uuidgen"]) && time);
            let random = cmd.args.iter().any(|it| it.raw.contains("$RANDOM") || it.raw.contains("${RANDOM}"));
            if kept && !step.script.text.contains(".git#") || random {
                let what = if random { "$RANDOM" } else { cmd.name.as_str() };
                let message = format!("`{what}` gives another result in each build, and a cached layer keeps an old one");
                out.at(cmd.span, message).hint("pass it in with ARG, below all that does not need it");
                break;
            }
        }
    }
}

fn add_url(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Add(add)) = step.instruction else { continue };
        let web = |it: &str| (it.starts_with("http://") || it.starts_with("https://")) && !it.contains(".git");
        let Some(source) = add.files.sources.iter().find(|it| web(&it.text)).filter(|_| add.checksum.is_none()) else {
            continue;
        };
        let message = match facts.outside.builder {
            crate::Builder::Kaniko => "kaniko fetches this in every build, and caches nothing below",
            _ => "each build asks the server again, and takes what it gives",
        };
        out.at(source.span, message).hint("add --checksum=sha256:..");
    }
}

/// The image that a word names, where it is one.
fn floats(name: &str) -> bool {
    if name.contains('@') || name.contains('$') {
        return false;
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn floating(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(stage) = step.stage else { continue };
        if let Some(from) = step.transfer().and_then(|it| it.from)
            && facts.stage_meant(from, stage + 1).is_none()
            && from.text.contains([':', '/'])
            && floats(&from.text)
        {
            let message = format!("`{}` is another image next month", from.text);
            out.at(from.span, message).hint("name a version");
        }
        for mount in &step.mounts {
            let Some(from) = mount.get("from") else { continue };
            let image = from.contains([':', '/']) && facts.stage_named(from, stage + 1).is_none();
            if image && floats(from) {
                out.at(mount.span, format!("`{from}` is another image next month")).hint("name a version");
            }
        }
    }
}

fn two_tags(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let mut seen: BTreeMap<String, (String, strake_diag::Span)> = BTreeMap::new();
    for stage in &facts.stages {
        let Base::Image(name) = &stage.base else { continue };
        let (repository, tag) = match name.rfind(':').filter(|at| !name[*at..].contains('/')) {
            Some(at) => (name[..at].to_owned(), name[at + 1..].to_owned()),
            None => (name.clone(), "latest".to_owned()),
        };
        let span = stage.from.base.span;
        match seen.get(&repository) {
            Some((other, first)) if *other != tag => {
                let message = format!("two tags of {repository} are pulled in one build");
                out.at(span, message).label(*first, format!("`{other}` here"));
            }
            Some(_) => {}
            None => drop(seen.insert(repository, (tag, span))),
        }
    }
}

fn link(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(last) = facts.last_stage() else { return };
    for step in facts.steps_of(last.index) {
        let Some(Instruction::Copy(copy)) = step.instruction.filter(|_| !step.onbuild) else { continue };
        let named = copy.chown.as_ref().is_some_and(|it| it.text.contains(|it: char| it.is_ascii_alphabetic()));
        if copy.link || copy.from.is_none() || named || !copy.files.dest.text.starts_with('/') {
            continue;
        }
        let message = "with --link this layer does not depend on those below, and stays when the base changes";
        let at = strake_diag::Span { start: step.statement.keyword.span.end, end: step.statement.keyword.span.end };
        out.at(step.span(), message)
            .hint("add --link, if no folder of the destination is a symbolic link")
            .fix(Fix::risky("add --link", vec![edit(at, " --link")]));
    }
}

fn secret_file(facts: &Facts<'_>, out: &mut Sink<'_>) {
    const NAMES: &[&str] = &[
        ".netrc", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".git-credentials", ".pgpass", ".pypirc",
        ".docker/config.json", ".aws/credentials", ".aws", ".ssh", ".env", ".env.local", ".env.production",
    ];
    for step in &facts.steps {
        let Some(transfer) = step.transfer().filter(|it| it.from.is_none()) else { continue };
        for source in &transfer.files.sources {
            let path = source.text.trim_start_matches("./").trim_end_matches('/');
            let name = path.rsplit('/').next().unwrap_or(path);
            let context = facts.outside.context.as_ref();
            let holds = context.is_some_and(|it| it.find(path).is_some_and(|it| it.secret));
            let npmrc = name == ".npmrc" && holds;
            if NAMES.contains(&name) || NAMES.contains(&path) || npmrc || holds {
                let message = format!("`{}` is for anybody to read who can pull the image", source.text);
                out.at(source.span, message).hint("use RUN --mount=type=secret");
            }
        }
        let Some(context) = facts.outside.context.as_ref().filter(|_| transfer.is_wide() && !step.onbuild) else { continue };
        let inside: Vec<&str> = context
            .kept()
            .filter(|it| it.secret && transfer.selects(&it.path))
            .map(|it| it.path.as_str())
            .collect();
        if let Some(first) = inside.first() {
            let others = inside.len() - 1;
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            let message = format!("this copies `{first}`{more}, which looks like a secret");
            out.at(step.span(), message).hint("name it in .dockerignore");
        }
    }
}

fn secret_url(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let inside = |text: &str| {
        let Some((_, rest)) = text.split_once("://") else { return false };
        let authority = rest.split('/').next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| !user.is_empty() && user != "git")
    };
    for (step, cmd) in facts.commands() {
        if let Some(arg) = cmd.args.iter().find(|it| inside(&it.text)) {
            let mounted = step.mounts.iter().any(|it| it.kind == "secret") && arg.raw.contains("$(");
            if !mounted {
                let message = "what stands in front of @ stays in the image's history";
                out.at(arg.span, message).hint("use RUN --mount=type=secret, and a header or a netrc file");
            }
        }
    }
    for step in &facts.steps {
        let Some(Instruction::Add(add)) = step.instruction else { continue };
        for source in add.files.sources.iter().filter(|it| inside(&it.text)) {
            let message = "what stands in front of @ stays in the image's history";
            out.at(source.span, message).hint("pass a secret HTTP_AUTH_TOKEN_<host> or GIT_AUTH_TOKEN");
        }
    }
}

fn secret_run(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let names: Vec<&crate::Var> = facts
            .vars
            .iter()
            .filter(|it| it.arg && it.stage == Some(stage.index) && super::variables::is_secret(&it.name))
            .collect();
        for step in facts.steps_of(stage.index).iter().filter(|it| it.run().is_some()) {
            for var in names.iter().filter(|it| it.statement < step.index) {
                let used = [format!("${}", var.name), format!("${{{}", var.name)];
                if used.iter().any(|it| step.script.text.contains(it.as_str())) {
                    let message = format!("the history of this RUN has the value of {}", var.name);
                    out.at(step.statement.keyword.span, message)
                        .label(var.span, "declared here")
                        .hint(format!("RUN --mount=type=secret,id={},env={} ..", var.name.to_lowercase(), var.name));
                }
            }
        }
    }
}

fn onbuild_copy(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.steps.iter().filter(|it| it.onbuild) {
        if step.transfer().is_some_and(|it| it.from.is_none() && it.is_wide()) {
            let message = "every image on this one copies its whole context first, and installs below it again and again";
            out.at(step.span(), message).hint("leave the COPY to those images");
        }
    }
}
