in vec3 colour;
in float across;
in float opacity;
out vec4 pixel;
void main() { pixel = vec4(tone(max(colour, 0.) * (1. - .25 * across * across)), opacity); }
