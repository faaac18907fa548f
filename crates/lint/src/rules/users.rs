//! Users that are not there.

use crate::rule::{FixKind, Rule, Sink};
use crate::{Base, Facts, Step};
use strake_dockerfile::Instruction;

pub(super) static RULES: &[&Rule] = &[&UNKNOWN_USER];

rule!(UNKNOWN_USER = "unknown-user", [], Security, Warning, on, FixKind::None, unknown_user);

/// `USER name` in a stage that has no /etc/passwd: nothing below it, and nothing copied there.
fn unknown_user(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (at, stage) in facts.stages.iter().enumerate() {
        let built_on = facts.stages.iter().any(|it| it.base == Base::Stage(at));
        if built_on || facts.image_of(at).is_some() {
            continue;
        }
        let mut below = Some(at);
        let mut steps: Vec<&Step<'_>> = Vec::new();
        while let Some(stage) = below {
            steps.extend(facts.steps_of(stage));
            below = match facts.stages[stage].base {
                Base::Stage(next) => Some(next),
                Base::Scratch | Base::Image(_) => None,
            };
        }
        if steps.iter().any(|it| may_bring_users(facts, it)) {
            continue;
        }
        let user = facts.steps_of(stage.index).iter().rev().find_map(|it| match it.instruction {
            Some(Instruction::User(user)) if !it.onbuild => Some(&user.user),
            Some(_) | None => None,
        });
        let Some(user) = user else { continue };
        let is_number = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
        if !user.text.contains('$') && !user.text.split(':').all(is_number) {
            let message = format!("a stage from scratch has no user or group `{}`", user.text);
            let hint = "write numbers, or copy /etc/passwd and /etc/group";
            out.at(user.span, message).hint(hint);
        }
    }
}

/// A RUN, or a COPY that goes to /etc, to the root, or who knows where.
fn may_bring_users(facts: &Facts<'_>, step: &Step<'_>) -> bool {
    if step.run().is_some() || step.onbuild {
        return true;
    }
    let Some(transfer) = step.transfer() else { return false };
    let dest = facts.expand(&transfer.files.dest.text, step.index);
    let dest = dest.trim_end_matches("/.").trim_end_matches('/');
    dest.contains('$') || !dest.starts_with('/') || dest.starts_with("/etc")
}
