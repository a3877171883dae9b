//! Several measurements of the same thing.

/// At least one measurement, sorted.
#[derive(Debug, Clone)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// `None`: nothing was measured.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// The one in the middle; of two, the mean.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len().is_multiple_of(2) {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        } else {
            self.0[middle]
        }
    }

    /// The value that 99 of 100 do not exceed.
    pub(crate) fn percentile_99(&self) -> f64 {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }

    /// Least, median and greatest, with so many decimals.
    pub(crate) fn spread(&self, decimals: usize) -> String {
        let (least, greatest) = (self.0[0], self.0[self.0.len() - 1]);
        let median = self.median();
        format!("{median:.decimals$} ({least:.decimals$}–{greatest:.decimals$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle_of_the_sorted_values() {
        let sample = |values: &[f64]| Sample::new(values.iter().copied()).unwrap();
        assert!(Sample::new([]).is_none());
        assert_eq!(sample(&[3.0, 1.0, 2.0]).spread(0), "2 (1–3)");
        assert_eq!(sample(&[4.0, 1.0, 2.0, 3.0]).spread(1), "2.5 (1.0–4.0)");
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((sample(&hundred).percentile_99() - 99.0).abs() < f64::EPSILON);
    }
}
