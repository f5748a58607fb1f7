"""Our own engine for one family: ResNet, ResNeXt and Res2Net on a CPU, in C++. No torch."""
