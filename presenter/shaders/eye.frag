in vec3 P, N, R, C, S;
in vec2 U, A;
out vec4 pixel;
uniform vec3 iris_dark, iris_bright, iris_inner;
uniform mat4 to_eye_space;  // world -> eyeball at rest, radius 1
const float IRIS = .455, PUPIL = .165;  // sine of the angle from the axis
void main() {
  vec3 n = normalize(N), to_eye = normalize(camera - P), d = normalize(R);
  float r = length(d.xy) / IRIS, turn = atan(d.y, d.x);
  vec3 around = vec3(cos(turn), sin(turn), 0.);
  float fibre = texture(noise, (around + vec3(0., 0., r * .24)) * 1.1).a * .65
              + texture(noise, (around + vec3(0., 0., r * .13)) * 2.4).a * .35;
  vec3 iris = mix(iris_dark, iris_bright, smoothstep(.25, .75, fibre));
  iris = mix(iris, iris_inner, .5 * (1. - smoothstep(.38, .75, r)));
  iris *= 1. + .5 * smoothstep(.3, -.6, d.y / IRIS);          // light gathers opposite the lamp
  iris = mix(iris, vec3(.016, .009, .006), smoothstep(.78, 1., r));
  iris = mix(vec3(.003), iris, smoothstep(PUPIL / IRIS - .05, PUPIL / IRIS + .03, r));
  float vein = texture(noise, d * 1.7).a;
  vec3 white = mix(vec3(.60, .565, .53), vec3(.62, .36, .31), .22 * smoothstep(.55, .78, vein));
  white = mix(white, vec3(.60, .33, .29), .55 * smoothstep(.62, .95, length(d.xy)));
  vec3 albedo = mix(white, iris, (1. - smoothstep(.90, 1.02, r)) * step(0., d.z));
  vec3 e = (to_eye_space * vec4(P, 1.)).xyz;
  float shade = (1. - .72 * smoothstep(-.02, .36, e.y)) * (1. - .25 * smoothstep(-.12, -.42, e.y))
              * (1. - .40 * smoothstep(.40, .85, abs(e.x)));
  vec3 c = albedo * ambient * shade, mirror = reflect(-to_eye, n);
  float fresnel = .028 + .97 * pow(1. - max(dot(n, to_eye), 0.), 5.);
  for (int i = 0; i < 4; i++) {
    vec3 l = lamp_position[i] - P;
    float distance = length(l), s = i < 3 ? S[i] : 0.;
    l /= distance;
    c += albedo * lamp_colour[i] * .31831 * max((dot(n, l) + .15) / 1.15, 0.) * s * shade;
    float rim = cos(atan(lamp_radius[i] * .8 / distance));
    float glint = smoothstep(rim - .012, rim + .006, dot(mirror, l));
    float radiance = 1. / (3.14159 * pow(lamp_radius[i] * .8 / distance, 2.));
    if (i < 3) c += lamp_colour[i] * radiance * glint * fresnel * max(s, .35) * smoothstep(.36, .12, e.y);
  }
  pixel = vec4(tone(c + ambient * fresnel * shade), 1.);
}
