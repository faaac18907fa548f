//! `strake plan`: what a build would find and do.

use crate::{failure::Failure, say, units::people};
use strake_build::{StagePreview, StepPreview, Verdict, Workbench, preview};
use strake_plan::Plan;

/// Tells what would become of each step of each plan.
pub(crate) fn tell(plans: &[Plan], bench: &Workbench) -> Result<(), Failure> {
    for plan in plans {
        let stages = preview(plan, bench)?;
        if plans.len() > 1 {
            say::data(&format!("{}:", plan.platform));
        }
        for stage in stages.iter().filter(|it| !it.steps.is_empty()) {
            one(stage);
        }
        totals(&stages);
    }
    Ok(())
}

fn one(stage: &StagePreview) {
    let StagePreview { name, base, steps, missing_base } = stage;
    let total = steps.len() + 1;
    let fetch = match missing_base {
        0 => String::new(),
        bytes => format!("; {} of it are not here", people(*bytes)),
    };
    say::data(&format!("[{name} 1/{total}] FROM {base}{fetch}"));
    for StepPreview { number, text, verdict, size } in steps {
        let told = match verdict {
            Verdict::Hit => {
                let size = size.map(|it| format!(", {}", people(it))).unwrap_or_default();
                format!("found{size}")
            }
            Verdict::Miss(reason) => format!("built: {reason}"),
            Verdict::After(step) => format!("depends on [{step}]"),
            Verdict::Unknown(why) => format!("not known: {why}"),
        };
        say::data(&format!("[{name} {number}/{total}] {text}\n    {told}"));
    }
}

fn totals(stages: &[StagePreview]) {
    let steps = || stages.iter().flat_map(|it| &it.steps);
    let found = steps().filter(|it| it.verdict == Verdict::Hit).count();
    let all = steps().count();
    let runs = |it: &&StagePreview| it.steps.iter().any(|it| it.verdict != Verdict::Hit);
    let fetch: u64 = stages.iter().filter(runs).map(|it| it.missing_base).sum();
    let kept: u64 = steps().filter_map(|it| it.size).sum();
    say::data(&format!(
        "{found} of {all} steps are found, {}; at most {} of base layers are fetched",
        people(kept),
        people(fetch)
    ));
}
