"""Which fields of a pipeline config decide what variables a model has, and of what shape (reference R28).

Read from EasyRec's source: ``feature_column``, ``layers`` and ``model``. What a feature's fields do depends on
each other and is worked out in ``feature_shapes``; they are here for their reasons. A field that is not here
decides no shape: a test makes sure that each whole number of the model's part was thought of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What another value of a field does to the variables."""

    SHAPE = "shape"
    """Variables that the checkpoint has get another shape or name, or layers come or go around them."""
    SWITCH = "switch"
    """Switches variables on or off, and leaves the others as they are."""
    ACTIVATION = "activation"
    """Adds variables only for activations that are learned."""

    @property
    def is_fatal(self) -> bool:
        """Whether variables that the checkpoint has would start afresh."""
        return self is Role.SHAPE


@dataclass(frozen=True)
class Rule:
    role: Role
    reason: str


LEARNED_ACTIVATIONS = ("prelu", "dice")

_LAYERS = "layers come or go between trained ones"
_OUT = "width of its output, which the layers behind read"
_ATTENTION = "sizes of the attention's kernels"
_FORM = "form of its output, which the layers behind read"
_CODE = "code that decides what the layers behind read"
_TABLE = "sizes of a table inside of the layer"
_NAMES = "names of the variables"
_INPUTS = "width of what is read"
_ROWS = "rows of the embedding table"

_SHAPES: Mapping[str, Mapping[str, str]] = {
    "FeatureConfig": {
        "feature_name": "name of the embedding table",
        "input_names": "name of the embedding table, or which values its rows stand for",
        "feature_type": "kind of the embedding table",
        "sub_feature_type": "kind of the embedding table",
        "embedding_name": "which features share a table",
        "embedding_dim": "columns of the embedding table, width of the input",
        "hash_bucket_size": _ROWS,
        "num_buckets": _ROWS,
        "vocab_list": _ROWS,
        "vocab_file": _ROWS,
        "boundaries": _ROWS,
        "min_val": "rows of the embedding table: it makes num_buckets count",
        "max_val": "rows of the embedding table: it makes num_buckets count",
        "raw_input_dim": "rows of the embedding table, or width of the input",
        "sequence_length": "width of the input",
        "sequence_combiner": "width of the input, and the combiner's own kernels",
        "kv_separator": "name of the embedding table: its values get weights",
        "combo_join_sep": "name of the embedding table of a combination",
        "shared_names": "which features there are",
        "ev_params": "kind of the embedding table: with these it grows with its keys",
    },
    "FeatureGroupConfig": {
        "group_name": "which features a part of the model reads",
        "feature_names": _INPUTS,
        "wide_deep": "columns of the group's tables",
        "negative_sampler": _FORM,
    },
    "SeqAttGroupConfig": {
        "group_name": _NAMES,
        "seq_att_map": _INPUTS,
        "need_key_feature": _OUT,
        "allow_key_search": _INPUTS,
        "allow_key_transform": _LAYERS,
        "transform_dnn": _LAYERS,
    },
    "SeqAttMap": {"key": _INPUTS, "hist_seq": _INPUTS, "aux_hist_seq": _INPUTS},
    "EasyRecModel": {
        "model_class": "which layers there are",
        "num_class": "columns of the output layer",
        "ev_params": "kind of all embedding tables: with these they grow with their keys",
    },
    "DNN": {"hidden_units": "sizes and number of the layers"},
    "MLP": {"hidden_units": "sizes and number of the layers"},
    "Tower": {"input": "which features the tower reads"},
    "DINTower": {"input": "which features the tower reads"},
    "BSTTower": {"input": "which features the tower reads", "seq_len": _OUT, "multi_head_size": _ATTENTION},
    "TaskTower": {"tower_name": _NAMES, "num_class": "columns of the tower's output layer"},
    "BayesTaskTower": {
        "tower_name": _NAMES,
        "num_class": "columns of the tower's output layer",
        "relation_tower_names": "width of what relation_dnn reads",
    },
    "WideAndDeep": {"wide_output_dim": "columns of the wide tables"},
    "DeepFM": {"wide_output_dim": "columns of the wide tables"},
    "FM": {"use_variant": _OUT},
    "CrossTower": {"cross_num": _LAYERS},
    "DLRM": {"arch_interaction_op": _OUT, "arch_interaction_itself": _OUT, "arch_with_dense_feature": _OUT},
    "AutoInt": {
        "multi_head_num": _ATTENTION,
        "multi_head_size": _ATTENTION,
        "interacting_layer_num": _LAYERS,
    },
    "DBMTL": {"num_expert": "number of experts, columns of their gates"},
    "MMoE": {"num_expert": "number of experts, columns of their gates"},
    "MMoELayer": {"num_expert": "number of experts, columns of their gates", "num_task": "number of gates"},
    "ExpertTower": {"expert_name": _NAMES},
    "ExtractionNetwork": {
        "network_name": _NAMES,
        "expert_num_per_task": "number of experts, columns of their gates",
        "share_num": "number of experts, columns of their gates",
    },
    "HighWayTower": {"input": "which features the tower reads", "emb_size": _OUT, "num_layers": _LAYERS},
    "MIND": {
        "user_seq_combine": "width of what the capsules read",
        "time_id_fea": "width of what the capsules read",
    },
    "Capsule": {"high_dim": "columns of the capsules' matrix"},
    "SENet": {"reduction_ratio": "sizes of its kernels", "num_squeeze_group": "sizes of its kernels"},
    "CMBFTower": {
        "multi_head_num": _ATTENTION,
        "image_multi_head_num": _ATTENTION,
        "text_multi_head_num": _ATTENTION,
        "text_head_size": _ATTENTION,
        "image_head_size": _ATTENTION,
        "image_feature_patch_num": "width of an image's projection",
        "image_feature_dim": "width of an image's projection",
        "image_self_attention_layer_num": _LAYERS,
        "text_self_attention_layer_num": _LAYERS,
        "cross_modal_layer_num": _LAYERS,
        "image_cross_head_size": _ATTENTION,
        "text_cross_head_size": _ATTENTION,
        "max_position_embeddings": "rows of the table of positions",
    },
    "UniterTower": {
        "hidden_size": _ATTENTION,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _ATTENTION,
        "intermediate_size": "sizes of the layers behind the attention",
        "max_position_embeddings": "rows of the table of positions",
    },
    "VariationalDropoutLayer": {"embedding_wise_variational_dropout": "number of its parameters"},
    "BackboneTower": {"concat_blocks": _OUT, "output_blocks": _OUT},
    "BlockPackage": {"name": _NAMES, "concat_blocks": _OUT, "output_blocks": _OUT},
    "Block": {
        "name": _NAMES,
        "input_concat_axis": "width of what the block reads",
        "merge_inputs_into_list": "form of what the block reads",
        "extra_input_fn": _CODE,
    },
    "Input": {
        "feature_group_name": "what the block reads",
        "block_name": "what the block reads",
        "package_name": "what the block reads",
        "use_package_input": "what the block reads",
        "input_fn": _CODE,
        "input_slice": _CODE,
        "ignore_input": "what the block reads",
        "package_input": "what the block reads",
        "package_input_fn": _CODE,
    },
    "InputLayer": {
        "only_output_feature_list": _FORM,
        "only_output_3d_tensor": _FORM,
        "output_2d_tensor_and_feature_list": _FORM,
        "output_seq_and_normal_feature": _FORM,
        "concat_seq_feature": _FORM,
        "wide_output_dim": "columns of the wide tables",
    },
    "Lambda": {"expression": _CODE},
    "RecurrentLayer": {"num_steps": _LAYERS, "fixed_input_index": "what each step reads"},
    "RepeatLayer": {
        "num_repeat": _LAYERS,
        "output_concat_axis": _FORM,
        "input_slice": _CODE,
        "input_fn": _CODE,
    },
    "EmbeddingLayer": {"embedding_dim": "columns of its table", "concat": _FORM},
    "KerasLayer": {
        "class_name": "which layer this is",
        "st_params": "parameters of a layer that is not known here: they may decide any shape",
    },
    "AITMTower": {"project_dim": "sizes of its kernels"},
    "Attention": {"score_mode": "which variables the scores have"},
    "MultiHeadAttention": {
        "num_heads": _ATTENTION,
        "key_dim": _ATTENTION,
        "value_dim": _ATTENTION,
        "output_shape": _OUT,
        "attention_axes": _ATTENTION,
    },
    "Transformer": {
        "hidden_size": _ATTENTION,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _ATTENTION,
        "intermediate_size": "sizes of the layers behind the attention",
        "vocab_size": "rows of the table of tokens",
        "output_all_token_embeddings": _FORM,
    },
    "TextEncoder": {"vocab_file": "rows of the table of tokens"},
    "BSTEncoder": {
        "hidden_size": _ATTENTION,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _ATTENTION,
        "intermediate_size": "sizes of the layers behind the attention",
        "max_position_embeddings": "rows of the table of positions, width of the output",
        "output_all_token_embeddings": _OUT,
        "target_item_position": _OUT,
        "reserve_target_position": _OUT,
    },
    "DINEncoder": {"need_target_feature": _OUT},
    "PeriodicEmbedding": {
        "embedding_dim": _TABLE,
        "add_linear_layer": _LAYERS,
        "output_3d_tensor": _FORM,
        "output_tensor_list": _FORM,
    },
    "AutoDisEmbedding": {
        "embedding_dim": _TABLE,
        "num_bins": _TABLE,
        "output_3d_tensor": _FORM,
        "output_tensor_list": _FORM,
    },
    "NaryDisEmbedding": {
        "embedding_dim": _TABLE,
        "carries": _TABLE,
        "num_replicas": _TABLE,
        "inter_ary_pooling": _OUT,
        "output_3d_tensor": _FORM,
        "output_tensor_list": _FORM,
    },
    "Bilinear": {"type": "which kernels there are", "use_plus": _OUT, "num_output_units": _OUT},
    "MaskBlock": {
        "reduction_factor": "sizes of its kernels",
        "aggregation_size": "sizes of its kernels",
        "projection_dim": "sizes of its kernels",
        "output_size": _OUT,
    },
    "MaskNet": {"use_parallel": "what each block reads"},
    "PPNet": {"mode": "what the gates read", "full_gate_input": "what the gates read"},
    "GateNN": {"output_dim": "sizes of its kernels", "hidden_dim": "sizes of its kernels"},
    "TextCNN": {
        "filter_sizes": "sizes and number of the filters",
        "num_filters": "sizes and number of the filters",
    },
    "CIN": {"hidden_feature_sizes": "sizes and number of the layers"},
    "MappedDotProduct": {"boundaries": _TABLE, "embedding_dim": _TABLE},
    "OverlapFeature": {"methods": _OUT, "boundaries": _TABLE, "embedding_dim": _TABLE},
}
_SWITCHES: Mapping[str, Mapping[str, str]] = {
    "EasyRecModel": {"variational_dropout": "the dropout's own parameters"},
    "DNN": {"use_bn": "the variables of batch normalization"},
    "MLP": {
        "use_bn": "the variables of batch normalization",
        "use_final_bn": "the variables of batch normalization",
        "use_bias": "the biases",
        "use_final_bias": "the last bias",
    },
    "GateNN": {"use_bn": "the variables of batch normalization"},
    "InputLayer": {
        "do_batch_norm": "the variables of batch normalization",
        "do_layer_norm": "the variables of layer normalization",
    },
    "MaskBlock": {"input_layer_norm": "the variables of layer normalization"},
    "MaskNet": {"input_layer_norm": "the variables of layer normalization"},
    "SENet": {"use_output_layer_norm": "the variables of layer normalization"},
    "Attention": {"use_scale": "the scale"},
    "MultiHeadAttention": {"use_bias": "the biases"},
    "BSTEncoder": {"use_position_embeddings": "the table of positions"},
    "UniterTower": {"use_position_embeddings": "the table of positions"},
    "CMBFTower": {
        "use_position_embeddings": "the table of positions",
        "use_token_type": "the table of token types",
    },
    "DSSM": {"scale_simi": "the scale of the similarity"},
    "DSSM_SENet": {"scale_simi": "the scale of the similarity"},
    "MIND": {"scale_simi": "the scale of the similarity"},
    "PDN": {"scale_simi": "the scale of the similarity"},
    "ModelParams": {"scale_simi": "the scale of the similarity"},
}
_ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "DNN": ("activation",),
    "MLP": ("activation", "final_activation"),
    "GateNN": ("activation",),
    "HighWayTower": ("activation",),
    "TextCNN": ("activation",),
}

RULES: Mapping[tuple[str, str], Rule] = {
    **{(m, f): Rule(Role.SHAPE, why) for m, fields in _SHAPES.items() for f, why in fields.items()},
    **{(m, f): Rule(Role.SWITCH, why) for m, fields in _SWITCHES.items() for f, why in fields.items()},
    **{
        (m, f): Rule(Role.ACTIVATION, "the variables of a learned activation")
        for m, fields in _ACTIVATIONS.items()
        for f in fields
    },
}
"""(message, field) to what another value of it does."""

WITHOUT_SHAPE: frozenset[tuple[str, str]] = frozenset(
    {
        ("Attention", "seed"),
        ("Capsule", "max_k"),
        ("Capsule", "max_seq_len"),
        ("Capsule", "num_iters"),
        ("EVParams", "filter_freq"),
        ("EVParams", "init_capacity"),
        ("EVParams", "max_capacity"),
        ("EVParams", "steps_to_live"),
        ("EmbeddingLayer", "vocab_size"),  # EasyRec sets it itself
        ("FeatureConfig", "lookup_max_sel_elem_num"),
        ("FeatureConfig", "max_partitions"),  # a checkpoint is read whole, however it is split
        ("FeatureConfig", "max_seq_len"),
        ("FeatureConfig", "precision"),
        ("MappedDotProduct", "print_first_n"),
        ("MappedDotProduct", "summarize"),
        ("ModelParams", "item_tower_idx_in_output"),
        ("ModelParams", "user_tower_idx_in_output"),
        ("OverlapFeature", "print_first_n"),
        ("OverlapFeature", "summarize"),
        ("SoftmaxCrossEntropyWithNegativeMining", "num_negative_samples"),
        ("TextCNN", "pad_sequence_length"),
        ("TextEncoder", "default_token_id"),
        ("Transformer", "max_position_embeddings"),  # its positions are computed, not learned
        ("WeightedGate", "weight_index"),
    }
)
"""Whole numbers of features and models that decide no shape, each looked at."""

IDENTITY: Mapping[str, str] = {
    "Block": "name",
    "BlockPackage": "name",
    "BayesTaskTower": "tower_name",
    "TaskTower": "tower_name",
    "ExpertTower": "expert_name",
    "ExtractionNetwork": "network_name",
    "Tower": "input",
    "DINTower": "input",
    "BSTTower": "input",
    "HighWayTower": "input",
    "SeqAttGroupConfig": "group_name",
}
"""By which field the elements of a list are told apart; all others are by their number."""

BY_NAME: frozenset[tuple[str, str]] = frozenset(
    {("BackboneTower", "blocks"), ("BackboneTower", "packages"), ("BlockPackage", "blocks")}
)
"""Lists whose elements' variables are named after the elements: one more or less leaves the others alone,
and so does another order."""

BY_NAME_AND_NUMBER: Mapping[tuple[str, str], str | None] = {
    ("DBMTL", "task_towers"): "expert_dnn",
    ("MMoE", "task_towers"): None,
    ("ModelParams", "task_towers"): None,
    ("SimpleMultiTask", "task_towers"): None,
}
"""Lists that may grow or shrink at the end, but whose elements also have variables or inputs that are numbered:
always, or with the field named here."""

POOLED_GROUPS: frozenset[tuple[str, str]] = frozenset({("deepfm", "fm"), ("fm", "deep")})
"""(model, group) whose features are summed up, so that no kernel is as wide as the group."""
