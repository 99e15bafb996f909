//! All rules by name. A rule's fixtures are in the folder of that name.

use crate::{
    Complaints, Shop, edges, images, pods, ports, references, replicas, resources, selectors,
    variables,
};

/// A rule: from everything there is to what is wrong.
pub type Rule = fn(&Shop) -> Complaints;

/// Every rule, by the name of its fixtures' folder.
pub const RULES: [(&str, Rule); 15] = [
    ("selectors-select", selectors::select_something),
    ("labels-match-selectors", selectors::find_their_own_pods),
    ("ports-exist", ports::exist),
    ("references-exist", references::exist),
    ("files-exist", references::files_exist),
    ("budgets-leave-room", replicas::budgets_leave_room),
    ("autoscaled-say-no-replicas", replicas::autoscaled_say_none),
    ("images-are-pinned", images::are_pinned),
    ("jobs-carry-the-version", images::jobs_carry_the_version),
    ("variables-exist", variables::exist),
    ("compose-agrees", variables::agree_with_compose),
    ("edges-have-policies", edges::have_policies),
    ("pods-end-by-themselves", pods::end_by_themselves),
    ("pods-are-restricted", pods::are_restricted),
    ("resources-are-measured", resources::are_measured),
];
