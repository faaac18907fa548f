//! `RUN --device=name[,required]`: names of the
//! [Container Device Interface](https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md).

use super::mount::fields;
use crate::problem::did_you_mean;
use strake_plan::DeviceRequest;

/// Reads the value of `--device`; the error is a message.
pub(super) fn device(text: &str) -> Result<DeviceRequest, String> {
    let (mut name, mut required) = (String::new(), false);
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => required = true,
            ("required", Some(value)) => {
                required = match value {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                    _ => return Err(format!("required is true or false, not `{value}`")),
                };
            }
            ("name", Some(_)) if !name.is_empty() => {
                return Err(format!("`{text}` names two devices"));
            }
            ("name", Some(value)) => value.clone_into(&mut name),
            (_, _) if name.is_empty() => name = field,
            (key, _) => {
                let near = did_you_mean(key, ["name", "required"]);
                let near = near.map(|it| format!(": did you mean {it}?")).unwrap_or_default();
                return Err(format!("there is no option `{key}`{near}"));
            }
        }
    }
    if name.is_empty() {
        return Err("there is no name: write vendor.com/class=device".to_owned());
    }
    Ok(DeviceRequest { name, required })
}
