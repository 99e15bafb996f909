//! Answers in the order of the questions: a statement that is asked for many by `unnest(…) with ordinality` returns the number of
//! each.

use sqlx::Error;

/// The place of a row with this ordinality, which begins at 1.
///
/// # Errors
/// When there is no such place: the statement was not asked for so many.
pub fn nth<T>(places: &mut [T], ordinality: i64) -> Result<&mut T, Error> {
    let at = usize::try_from(ordinality - 1).ok().and_then(|at| places.get_mut(at));
    at.ok_or_else(|| Error::Decode("ordinality".into()))
}
