//! The reference of settings is that of the program.

use tests::stack::{fabstir, root};

#[tokio::test]
async fn the_reference_of_settings_is_current() {
    let printed = tokio::process::Command::new(fabstir()).arg("reference").output().await.unwrap();
    assert!(printed.status.success());
    let committed = std::fs::read_to_string(root().join("docs/settings.md")).unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), committed, "run make reference");
}
