//! Values for templates, from the general to the particular.

use serde_json::{Map, Value};

use crate::model::{Profile, System};

/// The vars a template of this system sees: the system's over those of its profile (into which
/// its parents' were merged when the site was loaded). Tables merge, everything else replaces.
pub fn variables(system: &System, profile: &Profile) -> Map<String, Value> {
    let mut merged = profile.vars.clone();
    merge(&mut merged, &system.vars);
    merged
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (Some(slot), _) => *slot = value.clone(),
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_merge_and_all_else_replaces() {
        let mut below = json!({"a": {"x": 1, "y": [1, 2]}, "b": "keep"});
        let above = json!({"a": {"y": [3], "z": true}, "c": {"d": 1}});
        if let (Value::Object(below), Value::Object(above)) = (&mut below, &above) {
            merge(below, above);
        }
        assert_eq!(
            below,
            json!({"a": {"x": 1, "y": [3], "z": true}, "b": "keep", "c": {"d": 1}})
        );
    }
}
