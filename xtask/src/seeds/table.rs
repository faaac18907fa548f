//! One row a case, one column a check.

use std::fmt::Write;

/// How the checks ended.
#[derive(Debug, Default)]
pub(crate) struct Table {
    checks: Vec<&'static str>,
    cells: Vec<(String, &'static str, Result<(), String>)>,
}

impl Table {
    /// Notes how a check ended; whether it went well.
    pub(crate) fn add(
        &mut self,
        case: &str,
        check: &'static str,
        result: Result<(), String>,
    ) -> bool {
        let good = result.is_ok();
        crate::shell::say(&match &result {
            Ok(()) => format!("{case} {check}: ok"),
            Err(why) => format!("{case} {check}: FAILED: {why}"),
        });
        if !self.checks.contains(&check) {
            self.checks.push(check);
        }
        self.cells.push((case.to_owned(), check, result));
        good
    }

    /// Shows it; `-` is a check that the case does not have.
    #[expect(clippy::print_stdout, reason = "the table is what the command is for")]
    pub(crate) fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let mut cases: Vec<&str> = self.cells.iter().map(|it| it.0.as_str()).collect();
        cases.dedup();
        let mut text = format!("{:8}", "case");
        for check in &self.checks {
            let _ = write!(text, "  {check:^8}");
        }
        for case in cases {
            let _ = write!(text, "\n{case:8}");
            for check in &self.checks {
                let cell = self.cells.iter().find(|it| it.0 == case && it.1 == *check);
                let word = match cell.map(|it| &it.2) {
                    None => "-",
                    Some(Ok(())) => "ok",
                    Some(Err(_)) => "FAILED",
                };
                let _ = write!(text, "  {word:^0$}", check.len().max(8));
            }
        }
        text.push('\n');
        text
    }

    /// Whether every check went well.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        match self.cells.iter().filter(|it| it.2.is_err()).count() {
            0 => Ok(()),
            count => Err(format!("{count} of {} checks failed", self.cells.len())),
        }
    }
}
