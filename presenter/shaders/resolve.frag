// Average the super-samples and convert linear light to sRGB.
in vec2 q;
out vec4 pixel;
uniform sampler2D picture;
uniform int supersampling;
void main() {
  ivec2 first = ivec2(gl_FragCoord.xy) * supersampling;
  vec3 c = vec3(0.);
  for (int y = 0; y < supersampling; y++)
    for (int x = 0; x < supersampling; x++) c += texelFetch(picture, first + ivec2(x, y), 0).rgb;
  c = clamp(c / float(supersampling * supersampling), 0., 1.);
  pixel = vec4(mix(c * 12.92, 1.055 * pow(c, vec3(1. / 2.4)) - .055, step(.0031308, c)), 1.);
}
