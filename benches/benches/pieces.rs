//! Times of the pieces: `cargo bench -p strake-benches [NAME]`.

use strake_benches::PIECES;

fn main() {
    divan::main();
}

#[divan::bench(args = PIECES.iter().map(|it| it.name), sample_size = 1, sample_count = 20)]
fn piece(bencher: divan::Bencher<'_, '_>, name: &str) {
    let piece = PIECES.iter().find(|it| it.name == name).expect("it is in the list");
    bencher.bench_local((piece.prepare)());
}
