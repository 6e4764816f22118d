"""Fitted scikit-learn estimators, read without scikit-learn: the same scores, and explanations that add up."""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import errors
from lrp_ref.formats import sklearn as reader

pytest.importorskip("sklearn", reason="scikit-learn is not installed: its estimators cannot be made")
from sklearn import (
    compose,
    cross_decomposition,
    datasets,
    decomposition,
    discriminant_analysis,
    feature_selection,
    impute,
    linear_model,
    model_selection,
    multiclass,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

# The numbers of an estimator that has not converged are as good as any here.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = datasets.load_iris(return_X_y=True)
BINARY = (Y > 0).astype(int)
TARGET = X[:, 0] * 2 - X[:, 3]

CLASSIFIERS = [
    linear_model.LogisticRegression(max_iter=500),
    linear_model.LogisticRegression(max_iter=500, fit_intercept=False),
    linear_model.RidgeClassifier(),
    linear_model.SGDClassifier(random_state=0),
    linear_model.Perceptron(random_state=0),
    svm.LinearSVC(random_state=0),
    *(discriminant_analysis.LinearDiscriminantAnalysis(solver=solver) for solver in ("svd", "lsqr", "eigen")),
    multiclass.OneVsRestClassifier(linear_model.LogisticRegression(max_iter=500)),
    multiclass.OneVsRestClassifier(pipeline.make_pipeline(preprocessing.StandardScaler(), svm.LinearSVC(random_state=0))),
    model_selection.GridSearchCV(linear_model.LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2),
]
REGRESSORS = [
    linear_model.Ridge(),
    linear_model.LinearRegression(),
    linear_model.Lasso(0.01),
    linear_model.SGDRegressor(random_state=0),
    svm.LinearSVR(random_state=0),
    svm.SVR(kernel="linear"),
    linear_model.Ridge(fit_intercept=False),
    linear_model.HuberRegressor(max_iter=1000),
    linear_model.BayesianRidge(),
    linear_model.TheilSenRegressor(random_state=0, max_subpopulation=50),
    cross_decomposition.PLSRegression(2),
    cross_decomposition.PLSRegression(2, scale=False),
    model_selection.RandomizedSearchCV(linear_model.Ridge(), {"alpha": [0.1, 1.0, 10.0]}, n_iter=2, cv=2, random_state=0),
]


@pytest.mark.parametrize("y", [Y, BINARY], ids=["three classes", "two classes"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_classifiers_give_the_decision_function(estimator, y):
    fitted = estimator.fit(X, y)
    scores = reader.load(fitted)(X)
    expected = fitted.decision_function(X)
    np.testing.assert_allclose(scores[:, 0] if y is BINARY else scores, expected, rtol=1e-12, atol=1e-12)


def test_linear_svc_of_two_classes_gives_the_decision_function():
    fitted = svm.SVC(kernel="linear").fit(X, BINARY)
    np.testing.assert_allclose(reader.load(fitted)(X)[:, 0], fitted.decision_function(X), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("estimator", REGRESSORS, ids=str)
def test_regressors_give_the_prediction(estimator):
    fitted = estimator.fit(X, TARGET)
    np.testing.assert_allclose(reader.load(fitted)(X)[:, 0], fitted.predict(X).ravel(), rtol=1e-10, atol=1e-10)


def test_partial_least_squares_of_several_targets():
    targets = np.column_stack([TARGET, X[:, 1] - X[:, 2]])
    for kind in (cross_decomposition.PLSRegression, cross_decomposition.PLSCanonical, cross_decomposition.CCA):
        fitted = kind(2).fit(X, targets)
        np.testing.assert_allclose(reader.load(fitted)(X), fitted.predict(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("y", [Y, BINARY], ids=["three classes", "two classes"])
def test_discriminant_analysis_gives_probabilities(y):
    fitted = discriminant_analysis.LinearDiscriminantAnalysis().fit(X, y)
    found, expected = reader.load(fitted, probabilities=True)(X), fitted.predict_proba(X)
    np.testing.assert_allclose(found if y is Y else np.column_stack([1 - found, found]), expected, rtol=1e-8, atol=1e-12)


def test_one_perceptron_for_each_class_decides_like_the_estimator():
    each = neural_network.MLPClassifier((4,), max_iter=40, random_state=0)
    fitted = multiclass.OneVsRestClassifier(each).fit(X, Y)
    model = reader.load(fitted)
    assert (model(X).argmax(axis=1) == fitted.predict(X)).all()
    logits = np.log(fitted.estimators_[1].predict_proba(X)[:, 1] / fitted.estimators_[1].predict_proba(X)[:, 0])
    np.testing.assert_allclose(model(X)[:, 1], logits, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("y", [Y, BINARY], ids=["three classes", "two classes"])
def test_perceptron_classifiers_give_the_probabilities(activation, y):
    fitted = neural_network.MLPClassifier(hidden_layer_sizes=(7, 5), activation=activation, max_iter=30, random_state=0).fit(X, y)
    found = reader.load(fitted, probabilities=True)(X)
    expected = fitted.predict_proba(X)
    np.testing.assert_allclose(found if y is Y else np.column_stack([1 - found, found]), expected, rtol=1e-9, atol=1e-12)


def test_perceptron_regressors_of_several_outputs():
    estimator = neural_network.MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, random_state=0)
    fitted = estimator.fit(X, np.column_stack([TARGET, -TARGET]))
    np.testing.assert_allclose(reader.load(fitted)(X), fitted.predict(X), rtol=1e-12)


TRANSFORMERS = [
    preprocessing.StandardScaler(),
    preprocessing.StandardScaler(with_mean=False),
    preprocessing.StandardScaler(with_std=False),
    preprocessing.MinMaxScaler((-1, 2)),
    preprocessing.MaxAbsScaler(),
    decomposition.PCA(3),
    decomposition.PCA(2, whiten=True),
    preprocessing.RobustScaler(),
    preprocessing.RobustScaler(with_centering=False, quantile_range=(10, 80)),
    preprocessing.RobustScaler(with_scaling=False),
    impute.SimpleImputer(),
]


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
def test_pipelines_are_read_whole_and_explained_in_the_features(transformer):
    fitted = pipeline.make_pipeline(transformer, "passthrough", linear_model.LogisticRegression(max_iter=500)).fit(X, Y)
    model = reader.load(fitted)
    np.testing.assert_allclose(model(X), fitted.decision_function(X), rtol=1e-9, atol=1e-9)
    explained = lrp_ref.explain(model, X, rule=lrp_ref.rules.Zero(), ledger=True)
    assert explained.relevance.shape == X.shape
    assert np.abs(explained.ledger.rounding).max() <= 1e-12 * np.abs(explained.value).max()
    # One affine map of the features: w·x is each feature's relevance, whatever the transformer was.
    gradient = model(np.eye(4)) - model(np.zeros((4, 4)))
    if not isinstance(transformer, decomposition.PCA):  # two linear layers split the bias of the first one
        expected = X * gradient[:, explained.target].T
        np.testing.assert_allclose(explained.relevance, expected, rtol=1e-9, atol=1e-9)


FRONTS = [
    decomposition.TruncatedSVD(2, random_state=0),
    discriminant_analysis.LinearDiscriminantAnalysis(),
    discriminant_analysis.LinearDiscriminantAnalysis(solver="eigen", n_components=1),
    feature_selection.SelectKBest(k=2),
    feature_selection.SelectFromModel(linear_model.LogisticRegression(max_iter=500)),
    compose.ColumnTransformer([("a", preprocessing.StandardScaler(), [2, 0]), ("b", preprocessing.MinMaxScaler(), [3])]),
    compose.ColumnTransformer([("a", preprocessing.RobustScaler(), slice(1, 3)), ("b", "drop", [0])], remainder="passthrough"),
    compose.ColumnTransformer([("a", "passthrough", [True, False, True, False]), ("b", decomposition.PCA(1), [-1, 1])]),
    compose.ColumnTransformer(
        [("a", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), [0, 1])],
        remainder=preprocessing.MaxAbsScaler(),
    ),
    pipeline.FeatureUnion([("a", decomposition.PCA(2)), ("b", "passthrough"), ("c", preprocessing.StandardScaler())]),
    pipeline.FeatureUnion([("a", decomposition.PCA(1)), ("b", "passthrough")], transformer_weights={"a": 3.0, "b": 0.5}),
    compose.ColumnTransformer(
        [("a", preprocessing.StandardScaler(), [0, 2]), ("b", "passthrough", [1])],
        remainder=preprocessing.MinMaxScaler(),
        transformer_weights={"a": 2.0, "b": 0.0, "remainder": 3.0},
    ),
]


DROP, SCALE = ("a", "drop"), ("b", preprocessing.StandardScaler())
DROPS = [
    pipeline.FeatureUnion([DROP, SCALE]),
    pipeline.FeatureUnion([DROP, ("b", "passthrough")]),
    pipeline.FeatureUnion([DROP, ("c", "drop"), SCALE], transformer_weights={"b": 2.0}),
    pipeline.FeatureUnion([DROP, ("b", pipeline.FeatureUnion([DROP, SCALE]))]),
    pipeline.FeatureUnion(
        [DROP, ("b", pipeline.make_pipeline(pipeline.FeatureUnion([DROP, SCALE]), preprocessing.MinMaxScaler()))]
    ),
    pipeline.FeatureUnion([("b", "passthrough"), ("c", "passthrough")]),
]


@pytest.mark.parametrize("front", DROPS, ids=str)
def test_a_union_whose_first_part_is_left_out_has_the_features_of_the_others(front):
    """The union itself says n_features_in_ of its first part, which "drop" has not."""
    fitted = pipeline.make_pipeline(front, linear_model.LogisticRegression(max_iter=500)).fit(X, Y)
    model = reader.load(fitted)
    assert model.input_shape == {"input": (4,)}
    np.testing.assert_allclose(model(X), fitted.decision_function(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("front", FRONTS, ids=str)
def test_what_chooses_and_joins_features_is_read_as_a_graph(front):
    """Affine in the features, so that LRP-0 of the score is weight × feature, whatever the wiring; biases are booked."""
    fitted = pipeline.make_pipeline(front, linear_model.LogisticRegression(max_iter=500)).fit(X, Y)
    model = reader.load(fitted)
    np.testing.assert_allclose(model(X), fitted.decision_function(X), rtol=1e-9, atol=1e-9)
    explained = lrp_ref.explain(model, X, rule=lrp_ref.rules.Zero(), ledger=True)
    assert explained.relevance.shape == X.shape
    assert np.abs(explained.ledger.rounding).max() <= 1e-9


def test_columns_of_a_column_transformer_by_name():
    """As of a data frame, whose names scikit-learn keeps; the positions follow from them."""
    step = compose.ColumnTransformer([("a", preprocessing.StandardScaler(), [2, 0])]).fit(X)
    step.feature_names_in_ = np.array(["w", "x", "y", "z"], dtype=object)
    step.transformers_ = [("a", step.transformers_[0][1], ["y", "w"]), ("b", "passthrough", slice("x", "z"))]
    found = reader.load(step)(X)
    scaled = (X - X.mean(0)) / X.std(0)
    np.testing.assert_allclose(found, np.column_stack([scaled[:, [2, 0]], X[:, 1:4]]), rtol=1e-12, atol=1e-12)


def test_float32_and_a_domain():
    model = reader.load(linear_model.Ridge().fit(X, TARGET), dtype=np.float32, domain=(0, 8))
    assert model.dtype == np.float32
    explained = lrp_ref.explain(model, X.astype(np.float32), rule=lrp_ref.rules.ZBox(0, 8))
    assert explained.dtype == np.float32
    np.testing.assert_allclose(explained.total, explained.value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (linear_model.Ridge(), "has no coef_: fit it first"),
        (neural_network.MLPClassifier(), "has no coefs_: fit it first"),
        (tree.DecisionTreeClassifier(), "DecisionTreeClassifier is not read; known: ARDRegression"),
        (svm.SVR(kernel="rbf"), "kernel='linear' only, found kernel='rbf'"),
        (svm.SVC(kernel="linear").fit(X, Y), "votes of pairs; use LinearSVC"),
        (linear_model.PoissonRegressor(), "PoissonRegressor is not read"),
        (pipeline.Pipeline([("a", "passthrough")]), "the pipeline has no steps"),
        (
            pipeline.make_pipeline(preprocessing.MinMaxScaler(clip=True), linear_model.Ridge()).fit(X, TARGET),
            r"MinMaxScaler\(clip=True\) is not affine",
        ),
        (
            pipeline.make_pipeline(preprocessing.PolynomialFeatures(), linear_model.Ridge()).fit(X, TARGET),
            "PolynomialFeatures is not read in front of an estimator; known: StandardScaler",
        ),
        (
            pipeline.make_pipeline(preprocessing.QuantileTransformer(n_quantiles=9), linear_model.Ridge()).fit(X, TARGET),
            "QuantileTransformer is not read in front of an estimator: it maps every feature by its quantiles",
        ),
        (
            pipeline.make_pipeline(preprocessing.FunctionTransformer(np.abs), linear_model.Ridge()).fit(X, TARGET),
            "FunctionTransformer is not read: its function is Python code",
        ),
        (model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1.0]}), "has no best_estimator_: fit it with refit=True"),
        (
            multiclass.OneVsRestClassifier(tree.DecisionTreeClassifier()).fit(X, Y),
            "OneVsRestClassifier is read over linear models and MLPClassifier, found DecisionTreeClassifier",
        ),
        (
            pipeline.make_pipeline(impute.SimpleImputer(add_indicator=True), linear_model.Ridge()).fit(X, TARGET),
            "keeps every column and adds none",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_read_is_refused(estimator, message):
    with pytest.raises(errors.FormatError, match=message):
        reader.load(estimator)


def test_probabilities_are_refused_where_there_are_none():
    with pytest.raises(errors.FormatError, match="Ridge has no probabilities"):
        reader.load(linear_model.Ridge().fit(X, TARGET), probabilities=True)


def test_weights_that_vanish_in_float32_are_remarked_on():
    fitted = linear_model.Ridge().fit(X, TARGET)
    fitted.coef_ = np.array([1e-60, 1.0, 2.0, -1e-60])
    assert reader.load(fitted).remarks == ()
    assert reader.load(fitted, dtype=np.float32).remarks == ("node 'ridge' (Dense): 2 of 4 numbers of weight are 0 in float32",)
