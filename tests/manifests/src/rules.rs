//! All rules by name. A rule's fixtures are in the folder of that name.

use crate::{
    Complaints, Shop, capacity, composing, edges, images, pods, ports, references, replicas,
    resources, rollout, selectors, variables,
};

/// A rule: from everything there is to what is wrong.
pub type Rule = fn(&Shop) -> Complaints;

/// Every rule, by the name of its fixtures' folder.
pub const RULES: [(&str, Rule); 27] = [
    ("selectors-select", selectors::select_something),
    ("labels-match-selectors", selectors::find_their_own_pods),
    ("ports-exist", ports::exist),
    ("admin-ports-are-asked-over-tls", ports::admin_ports_are_asked_over_tls),
    ("references-exist", references::exist),
    ("files-exist", references::files_exist),
    ("budgets-leave-room", replicas::budgets_leave_room),
    ("autoscaled-say-no-replicas", replicas::autoscaled_say_none),
    ("images-are-pinned", images::are_pinned),
    ("images-have-a-registry", images::have_a_registry),
    ("images-are-of-this-version", images::are_of_this_version),
    ("templates-can-change", rollout::templates_can_change),
    ("configuration-rolls-pods", rollout::configuration_rolls_pods),
    ("copies-are-spread", rollout::copies_are_spread),
    ("shared-memory-suffices", rollout::shared_memory_suffices),
    ("no-cluster-is-assumed", rollout::no_cluster_is_assumed),
    ("connections-add-up", capacity::connections_add_up),
    ("streams-fit", capacity::streams_fit),
    ("variables-exist", variables::exist),
    ("compose-agrees", variables::agree_with_compose),
    ("compose-builds-an-image-once", composing::builds_an_image_once),
    ("compose-waits-for-ends", composing::waits_for_ends),
    ("compose-volumes-keep-their-owner", composing::volumes_keep_their_owner),
    ("edges-have-policies", edges::have_policies),
    ("pods-end-by-themselves", pods::end_by_themselves),
    ("pods-are-restricted", pods::are_restricted),
    ("resources-are-measured", resources::are_measured),
];
