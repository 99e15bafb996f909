//! Zipf's law: the second product is asked for half as often as the first, the third a third as often.

use rand::Rng;

/// Ranks `0..n`, rank k with a probability in proportion to `1 / (k + 1)^exponent`.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// For each rank, the probability of it or a smaller one.
    cumulated: Vec<f64>,
}

impl Zipf {
    /// Over `n` ranks, at least one. An exponent of 0 makes all alike.
    pub fn new(n: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=n.max(1)).map(|rank| (rank as f64).powf(-exponent));
        let mut cumulated: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|share| *share /= sum);
        Self { cumulated }
    }

    /// One rank.
    pub fn draw(&self, random: &mut impl Rng) -> usize {
        let point: f64 = random.random();
        let rank = self.cumulated.partition_point(|share| *share <= point);
        rank.min(self.cumulated.len() - 1) // rounding may leave the last share below 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn counts(n: usize, exponent: f64) -> Vec<f64> {
        let (zipf, mut random) = (Zipf::new(n, exponent), StdRng::seed_from_u64(7));
        let mut counts = vec![0.0; n];
        (0..100_000).for_each(|_| counts[zipf.draw(&mut random)] += 1.0);
        counts
    }

    #[test]
    fn ranks_come_in_the_proportions_of_the_law() {
        let counts = counts(100, 1.0);
        let harmonic: f64 = (1..=100).map(|k| 1.0 / f64::from(k)).sum();
        for (rank, count) in counts.iter().enumerate().take(10) {
            let expected = 100_000.0 / (harmonic * (rank + 1) as f64);
            assert!((count - expected).abs() < 0.1 * expected, "{rank}: {count}, not {expected}");
        }
        assert!(counts.iter().all(|count| *count > 0.0), "the last is asked for, too");
    }

    #[test]
    fn without_an_exponent_all_are_alike_and_one_is_enough() {
        let alike = counts(10, 0.0);
        assert!(alike.iter().all(|count| (9_500.0..10_500.0).contains(count)), "{alike:?}");
        assert_eq!(counts(1, 1.0), [100_000.0]);
    }
}
