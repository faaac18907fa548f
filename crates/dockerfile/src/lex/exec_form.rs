//! The exec form: a JSON array of strings.

use serde_json::Value;

/// Why a text is not in exec form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotExec {
    /// It is in shell form.
    Shell,
    /// It is in shell form, but looks as if exec form was meant.
    Broken,
    /// It is an array, but not of strings.
    NotStrings,
}

/// The words of an exec form.
pub(crate) fn exec_form(text: &str) -> Result<Vec<String>, NotExec> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Err(NotExec::Shell);
    }
    let values = match serde_json::from_str::<Vec<Value>>(text) {
        Ok(values) => values,
        Err(_) => {
            let inner = text[1..].trim_start();
            let meant = inner.starts_with(['"', '\'', '“']) || text.trim_end().ends_with("\"]");
            return Err(if meant { NotExec::Broken } else { NotExec::Shell });
        }
    };
    let strings = values.into_iter().map(|it| match it {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(NotExec::NotStrings)
        }
    });
    strings.collect()
}
