//! `SOURCE_DATE_EPOCH=STAGE`: the time of the one thing from elsewhere that a stage adds
//! ([reference](https://docs.docker.com/reference/dockerfile/#source_date_epoch)).

use crate::{epoch, failure::Failure, planning};
use strake_cache::Store;
use strake_diag::Source;
use strake_dockerfile::{Dockerfile, Request};
use strake_layer::is_archive_file;
use strake_plan::{Base, CopySource, Op, Stage};
use strake_remote::Remote;

/// What a time is looked for with.
pub(crate) struct Elsewhere<'a> {
    pub(crate) file: &'a Dockerfile,
    pub(crate) text: &'a Source,
    pub(crate) store: &'a Store,
    pub(crate) remote: &'a Remote,
}

/// When what the stage adds was made. `None`: no stage has this name; no time: nobody says.
pub(crate) fn time(
    name: &str,
    request: &Request,
    elsewhere: &Elsewhere<'_>,
) -> Result<Option<Option<i64>>, Failure> {
    let Elsewhere { file, text, store, remote } = elsewhere;
    let targets = strake_dockerfile::targets(file).unwrap_or_default();
    if !targets.iter().any(|it| it.name.eq_ignore_ascii_case(name)) {
        return Ok(None);
    }
    let mut request = request.clone();
    request.target = Some(name.to_owned());
    let plan = strake_dockerfile::plan(file, &request);
    let plan = plan.map_err(|problems| planning::rendered(&problems, text))?;
    let added = added(&plan.stages[plan.target.0]).ok_or_else(|| {
        let given = epoch::NAME;
        Failure::usage(format!("{given}={name}: the stage does more than to add one thing"))
            .hint("it must be FROM scratch, and ARG and one ADD of an address are all it may have")
    })?;
    let seconds = match added {
        CopySource::Http(source) => {
            let file = remote.http(store, source)?;
            match file.mtime {
                0 if is_archive_file(fs_err::File::open(&file.path)?)? => {
                    let folder = store.temp_dir("epoch")?;
                    let archive = fs_err::File::open(&file.path)?;
                    Some(strake_remote::unpack(archive, &source.url, folder.path())?.newest)
                }
                0 => None,
                time => Some(time),
            }
        }
        CopySource::Git(source) => {
            let folder = store.temp_dir("epoch")?;
            let commit = remote.commit(store, source)?;
            let checkout = folder.path().join("checkout");
            Some(remote.checkout(store, source, &commit, &checkout)?.time)
        }
        CopySource::Path(_) | CopySource::Heredoc(_) => None,
    };
    Ok(Some(seconds))
}

/// The one source of the one ADD of a stage that has nothing else.
fn added(stage: &Stage) -> Option<&CopySource> {
    let is_arg = |text: &str| text.starts_with("ARG ");
    let mut steps = stage.steps.iter().filter(|it| !is_arg(&it.created_by));
    let (Base::Scratch, Some(step), None) = (&stage.base, steps.next(), steps.next()) else {
        return None;
    };
    let Op::Copy(copy) = &step.op else { return None };
    match copy.sources.as_slice() {
        [one @ (CopySource::Http(_) | CopySource::Git(_))] => Some(one),
        _ => None,
    }
}
