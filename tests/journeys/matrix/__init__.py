"""Every way to load a model, and every kind of network, through the whole audit."""

from tests.journeys.matrix import families, sources
from tests.journeys.matrix.cases import Case

PARTS = {
    "Where a model comes from": [
        Case("bundle", sources.bundle),
        Case("safetensors and architecture", sources.safetensors),
        Case("tensor checkpoint and architecture", sources.checkpoint),
        Case("TorchScript", sources.torchscript),
        Case("torch.export program", sources.exported),
        Case("ONNX", sources.onnx),
        Case("Hugging Face, text", sources.text_folder),
        Case("Hugging Face, a number", sources.text_of_numbers),
        Case("Hugging Face, images", sources.image_folder),
        Case("MLflow", sources.mlflow),
        Case("scikit-learn", sources.estimator),
        Case("Python function", sources.a_function),
        Case("stored decisions, no model", sources.stored_decisions),
        Case("stored probabilities and features, no model", sources.stored_probabilities),
        Case("stored numbers, no model", sources.stored_numbers),
    ],
    "Kinds of networks": [
        Case("MLP, table", families.of_applicants("mlp:MLP", hidden=[16])),
        Case("MLP, a number", families.of_rents),
        Case("MLP, several labels", families.of_posts),
        Case("Transformer, table", families.of_applicants("transformer:Transformer", width=16, heads=2, layers=1)),
        Case("CNN, images", families.trained("digits", epochs=3)),
        Case("LSTM, text", families.trained("reviews", epochs=2, embedding=16, width=16)),
        Case("GRU, text", families.trained("reviews", epochs=2, cell="gru", embedding=16, width=16)),
        Case("Transformer, text", families.trained("reviews_transformer", epochs=2, width=16, heads=2, layers=1)),
        Case("GRU, series", families.trained("vibration", epochs=2)),
        Case("autoencoder, images", families.trained("unusual_digits", epochs=2)),
        Case("autoencoder, table", families.trained("unusual_census", epochs=2)),
        Case("GAN, images", families.trained("generated_digits", epochs=2)),
        Case("policy, control", families.trained("cartpole", epochs=1, episodes=2)),
    ],
    "Variants of a network": [
        Case("int8", families.variant("int8")),
        Case("bfloat16", families.variant("bf16")),
        Case("pruned", families.variant("pruned", share=0.5)),
        Case("distilled", families.variant("distilled")),
    ],
}
