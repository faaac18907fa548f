//! What recorded machines say: `testdata/machines/NAME` has its /proc and /sys as far as they are read, the
//! backend that it has, and what is told about it. `UPDATE=1` writes `told` anew.

use std::fs;
use std::path::Path;

use strake_sandbox::{Facts, Privilege, advice};

#[test]
fn recorded_machines_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/machines");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let machine = entry.unwrap().path();
        let facts = Facts::read(&machine);
        let privilege = match fs::read_to_string(machine.join("backend")).unwrap().trim() {
            "single-id" => Privilege::SingleId,
            "emulated" => Privilege::Emulated,
            other => panic!("{other}"),
        };
        let told = format!("{facts:#?}\n{:#?}\n", advice(&facts, &privilege));
        let file = machine.join("told");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &told).unwrap();
        }
        assert_eq!(told, fs::read_to_string(&file).unwrap(), "{}", machine.display());
        count += 1;
    }
    assert!(count >= 7);
}
