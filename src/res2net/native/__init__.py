"""Our C++ inference engine for ResNet, ResNeXt and Res2Net on CPUs. No torch."""
