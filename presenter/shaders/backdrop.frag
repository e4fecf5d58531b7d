in vec2 q;
out vec4 pixel;
uniform vec3 backdrop_light, backdrop_dark;
void main() {
  float away = smoothstep(0., .95, length(q - vec2(.60, .55)));
  float dither = fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453) - .5;
  pixel = vec4(tone(mix(backdrop_light, backdrop_dark, away)) + dither * .002, 1.);
}
