use std::process::Command;

fn main() {
    let all: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || Command::new("echo").arg(number.to_string()).output().unwrap())
        })
        .collect();
    let told: usize = all.into_iter().map(|it| it.join().unwrap().stdout.len()).sum();
    assert_eq!(told, 16);
}
