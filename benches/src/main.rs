//! `strake-benches PIECE TIMES`: does a piece so often, for callgrind to count; without words, lists them.

use std::process::ExitCode;
use strake_benches::PIECES;

#[expect(clippy::print_stdout, reason = "the list is what is asked for")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = words.as_slice() else {
        PIECES.iter().for_each(|it| println!("{}", it.name));
        return ExitCode::SUCCESS;
    };
    let piece = PIECES.iter().find(|it| it.name == name);
    let (Some(piece), Ok(times)) = (piece, times.parse::<u32>()) else {
        return ExitCode::FAILURE;
    };
    let mut work = (piece.prepare)();
    (0..times).for_each(|_| work());
    ExitCode::SUCCESS
}
