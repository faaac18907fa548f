//! One row a case, one column a check.

use std::fmt::Write;

/// The columns, in their order.
const CHECKS: &[&str] = &[
    "as text", "builds", "cached", "metadata", "source", "= Docker", "= user", "runs", "healthy",
    "user",
];

/// How the checks ended.
#[derive(Debug, Default)]
pub(crate) struct Table {
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
        debug_assert!(CHECKS.contains(&check), "{check} is a column");
        self.cells.push((case.to_owned(), check, result));
        good
    }

    /// Shows it; `-` is a check that the case does not have, or whose build failed.
    #[expect(clippy::print_stdout, reason = "the table is what the command is for")]
    pub(crate) fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let mut cases: Vec<&str> = self.cells.iter().map(|it| it.0.as_str()).collect();
        cases.dedup();
        let tried = |check: &&&str| self.cells.iter().any(|it| it.1 == **check);
        let checks: Vec<&&str> = CHECKS.iter().filter(tried).collect();
        let mut text = format!("{:8}", "case");
        for check in &checks {
            let _ = write!(text, "  {check:^8}");
        }
        for case in cases {
            let _ = write!(text, "\n{case:8}");
            for check in &checks {
                let cell = self.cells.iter().find(|it| it.0 == case && it.1 == **check);
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
