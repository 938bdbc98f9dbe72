"""Which names PyTorch has in which file of `torch.ao.quantization`, and in the package."""

PARTS = {
    part: names.split()
    for part, names in {
        "backend_config": """
            BackendConfig BackendPatternConfig DTypeConfig DTypeWithConstraints ObservationType
            get_executorch_backend_config get_fbgemm_backend_config get_native_backend_config
            get_native_backend_config_dict get_onednn_backend_config get_qnnpack_backend_config
            get_tensorrt_backend_config get_tensorrt_backend_config_dict
        """,
        "fake_quantize": """
            FakeQuantize FakeQuantizeBase FixedQParamsFakeQuantize FusedMovingAvgObsFakeQuantize
            default_affine_fixed_qparams_fake_quant default_dynamic_fake_quant default_embedding_fake_quant
            default_embedding_fake_quant_4bit default_fake_quant default_fixed_qparams_range_0to1_fake_quant
            default_fixed_qparams_range_neg1to1_fake_quant default_fused_act_fake_quant
            default_fused_per_channel_wt_fake_quant default_fused_wt_fake_quant default_histogram_fake_quant
            default_per_channel_weight_fake_quant default_symmetric_fixed_qparams_fake_quant
            default_weight_fake_quant disable_fake_quant disable_observer enable_fake_quant enable_observer
            fused_per_channel_wt_fake_quant_range_neg_127_to_127 fused_wt_fake_quant_range_neg_127_to_127
        """,
        "observer": """
            AffineQuantizedObserverBase FixedQParamsObserver Granularity HistogramObserver MappingType
            MinMaxObserver MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver NoopObserver
            ObserverBase PerAxis PerBlock PerChannelMinMaxObserver PerGroup PerRow PerTensor PerToken
            PlaceholderObserver RecordingObserver ReuseInputObserver TorchAODType
            UniformQuantizationObserverBase ZeroPointDomain default_affine_fixed_qparams_observer
            default_debug_observer default_dynamic_quant_observer default_fixed_qparams_range_0to1_observer
            default_fixed_qparams_range_neg1to1_observer default_float_qparams_observer
            default_float_qparams_observer_4bit default_histogram_observer default_observer
            default_per_channel_weight_observer default_placeholder_observer default_reuse_input_observer
            default_symmetric_fixed_qparams_observer default_weight_observer get_block_size
            get_observer_state_dict load_observer_state_dict per_channel_weight_observer_range_neg_127_to_127
            weight_observer_range_neg_127_to_127
        """,
        "qconfig": """
            QConfig QConfigAny QConfigDynamic default_activation_only_qconfig default_debug_qconfig
            default_dynamic_qat_qconfig default_dynamic_qconfig default_embedding_qat_qconfig
            default_embedding_qat_qconfig_4bit default_per_channel_qconfig
            default_per_channel_symmetric_qnnpack_qat_qconfig default_per_channel_symmetric_qnnpack_qconfig
            default_qat_qconfig default_qat_qconfig_v2 default_qconfig default_quint8_weight_qconfig
            default_reuse_input_qconfig default_symmetric_qnnpack_qat_qconfig
            default_symmetric_qnnpack_qconfig default_weight_only_qconfig float16_dynamic_qconfig
            float16_static_qconfig float_qparams_weight_only_qconfig float_qparams_weight_only_qconfig_4bit
            get_default_qat_qconfig get_default_qat_qconfig_dict get_default_qconfig get_default_qconfig_dict
            per_channel_dynamic_qconfig qconfig_equals
        """,
        "qconfig_mapping": """
            QConfigMapping get_default_qat_qconfig_mapping get_default_qconfig_mapping
        """,
        "quant_type": """
            QuantType
        """,
        "quantization_mappings": """
            DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS DEFAULT_DYNAMIC_SPARSE_QUANT_MODULE_MAPPINGS
            DEFAULT_FLOAT_TO_QUANTIZED_OPERATOR_MAPPINGS DEFAULT_MODULE_TO_ACT_POST_PROCESS
            DEFAULT_QAT_MODULE_MAPPINGS DEFAULT_REFERENCE_STATIC_QUANT_MODULE_MAPPINGS
            DEFAULT_STATIC_QUANT_MODULE_MAPPINGS DEFAULT_STATIC_SPARSE_QUANT_MODULE_MAPPINGS
            get_default_compare_output_module_list get_default_dynamic_quant_module_mappings
            get_default_dynamic_sparse_quant_module_mappings get_default_float_to_quantized_operator_mappings
            get_default_qat_module_mappings get_default_qconfig_propagation_list
            get_default_static_quant_module_mappings get_default_static_quant_reference_module_mappings
            get_default_static_sparse_quant_module_mappings get_dynamic_quant_module_class
            get_embedding_qat_module_mappings get_embedding_static_quant_module_mappings
            get_quantized_operator get_static_quant_module_class no_observer_set
        """,
        "quantize": """
            add_quant_dequant convert get_default_custom_config_dict prepare prepare_qat propagate_qconfig_
            quantize quantize_dynamic quantize_qat swap_module
        """,
        "quantize_fx": """
            ObservedGraphModule QuantizationTracer Scope ScopeContextManager attach_preserved_attrs_to_model
            convert_fx convert_to_reference_fx fuse_fx prepare_fx prepare_qat_fx
        """,
        "quantize_jit": """
            convert_dynamic_jit convert_jit fuse_conv_bn_jit prepare_dynamic_jit prepare_jit
            quantize_dynamic_jit quantize_jit script_qconfig script_qconfig_dict
        """,
        "utils": """
            DEPRECATION_WARNING MatchAllNode NodePattern Pattern activation_dtype
            activation_is_dynamically_quantized activation_is_int32_quantized activation_is_int8_quantized
            activation_is_statically_quantized calculate_qmin_qmax check_min_max_valid check_node
            determine_qparams get_combined_dict get_fqn_to_example_inputs get_qconfig_dtypes get_qparam_dict
            get_quant_type get_swapped_custom_module_class getattr_from_fqn
            has_no_children_ignoring_parametrizations is_per_channel is_per_tensor
            op_is_int8_dynamically_quantized to_underlying_dtype validate_qmin_qmax weight_dtype
            weight_is_quantized weight_is_statically_quantized
        """,
    }.items()
}

PUBLIC = """
    AffineQuantizedObserverBase DeQuantStub FakeQuantize FakeQuantizeBase FixedQParamsFakeQuantize
    FixedQParamsObserver FusedMovingAvgObsFakeQuantize Granularity HistogramObserver MappingType MatchAllNode
    MinMaxObserver MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver NoopObserver ObserverBase
    ObserverOrFakeQuantize Pattern PerAxis PerBlock PerChannelMinMaxObserver PerGroup PerRow PerTensor PerToken
    PlaceholderObserver QConfig QConfigAny QConfigDynamic QConfigMapping QuantStub QuantType QuantWrapper
    RecordingObserver ReuseInputObserver TorchAODType UniformQuantizationObserverBase ZeroPointDomain
    add_quant_dequant convert convert_dynamic_jit convert_jit default_affine_fixed_qparams_fake_quant
    default_affine_fixed_qparams_observer default_debug_observer default_dynamic_fake_quant
    default_dynamic_quant_observer default_embedding_fake_quant default_embedding_fake_quant_4bit default_eval_fn
    default_fake_quant default_fixed_qparams_range_0to1_fake_quant default_fixed_qparams_range_0to1_observer
    default_fixed_qparams_range_neg1to1_fake_quant default_fixed_qparams_range_neg1to1_observer
    default_float_qparams_observer default_float_qparams_observer_4bit default_fused_act_fake_quant
    default_fused_per_channel_wt_fake_quant default_fused_wt_fake_quant default_histogram_fake_quant
    default_histogram_observer default_observer default_per_channel_weight_fake_quant
    default_per_channel_weight_observer default_placeholder_observer default_reuse_input_observer
    default_symmetric_fixed_qparams_fake_quant default_symmetric_fixed_qparams_observer default_weight_fake_quant
    default_weight_observer disable_fake_quant disable_observer enable_fake_quant enable_observer fuse_conv_bn
    fuse_conv_bn_jit fuse_conv_bn_relu fuse_convtranspose_bn fuse_linear_bn fuse_modules fuse_modules_qat
    fused_per_channel_wt_fake_quant_range_neg_127_to_127 fused_wt_fake_quant_range_neg_127_to_127 get_block_size
    get_combined_dict get_default_compare_output_module_list get_default_custom_config_dict
    get_default_dynamic_quant_module_mappings get_default_dynamic_sparse_quant_module_mappings
    get_default_float_to_quantized_operator_mappings get_default_qat_module_mappings get_default_qat_qconfig
    get_default_qat_qconfig_dict get_default_qat_qconfig_mapping get_default_qconfig get_default_qconfig_dict
    get_default_qconfig_mapping get_default_qconfig_propagation_list get_default_static_quant_module_mappings
    get_default_static_quant_reference_module_mappings get_default_static_sparse_quant_module_mappings
    get_dynamic_quant_module_class get_embedding_qat_module_mappings get_embedding_static_quant_module_mappings
    get_fuser_method get_fuser_method_new get_observer_state_dict get_quantized_operator
    get_static_quant_module_class load_observer_state_dict no_observer_set
    per_channel_weight_observer_range_neg_127_to_127 prepare prepare_dynamic_jit prepare_jit prepare_qat
    propagate_qconfig_ qconfig_equals quantize quantize_dynamic quantize_dynamic_jit quantize_jit quantize_qat
    script_qconfig script_qconfig_dict swap_module weight_observer_range_neg_127_to_127
""".split()
