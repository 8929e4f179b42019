//! What the table keeps.

use crate::dhcp::testing::*;

#[test]
fn a_client_that_asks_without_end_is_noted_once_a_second() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        assert_eq!(rig.send(&discover(DB01, &[])).word, "offer");
    }
    assert_eq!(rig.table.hold_ends.len(), 1);
    for _ in 0..300 {
        rig.wait(1);
        for _ in 0..5 {
            rig.send(&discover(DB01, &[]));
        }
    }
    let notes = rig.table.hold_ends.len();
    assert!(notes <= 61, "{notes}");
}
